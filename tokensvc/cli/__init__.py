"""
The command line: one file per noun, on the same services as the routes.

Exit status: 0 on success, 1 on failure or if a check found a problem, 2 on wrong usage.
"""

from importlib import import_module
from typing import Any, Final

import click

import tokensvc
from tokensvc.cli.printer import error_text
from tokensvc.config.loader import SettingsError
from tokensvc.core.errors import Refusal, StartupError

_MODULES: Final = {
    "serve": "serve",
    "worker": "worker",
    "migrate": "migrate",
    "doctor": "doctor",
    "backup": "recovery",
    "restore": "recovery",
    "after-restore": "recovery",
    "delivery": "delivery",
    "token": "token",
    "user-id": "user_id",
    "users": "users",
    "app": "app",
    "audit": "audit",
    "clients": "clients",
    "accounts": "accounts",
    "openapi": "openapi",
    "stream-keys": "stream_keys",
    "signing-keys": "signing_keys",
    "keys": "keys",
}
"""The module of each command in this package."""


class _Commands(click.Group):
    """
    Commands that print expected failures as one sentence, without a traceback.

    A command's module is imported when it is used: all together take a second.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"{__name__}.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(f"Invalid settings:\n{error}") from error
        except (Refusal, StartupError) as error:
            raise click.ClickException(error_text(error)) from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings: TOKENSVC_… variables, STREAM_API_KEY, STREAM_API_SECRET, and the TOML file "
    "named by TOKENSVC_CONFIG. `tokensvc doctor` checks them.",
)
@click.version_option(tokensvc.__version__, prog_name="tokensvc")
def main() -> None:
    """Mint Stream Chat user tokens for verified users."""
