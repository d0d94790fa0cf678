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

_SECTIONS: Final = {
    "Run": {"serve": "serve", "worker": "worker", "migrate": "migrate"},
    "People": {
        "users": "users",
        "accounts": "accounts",
        "clients": "clients",
        "app": "app",
        "token": "token",
        "user-id": "user_id",
    },
    "Keys": {"stream-keys": "stream_keys", "signing-keys": "signing_keys", "keys": "keys"},
    "Backup": {"backup": "recovery", "restore": "recovery", "after-restore": "recovery"},
    "Diagnose": {
        "doctor": "doctor",
        "delivery": "delivery",
        "audit": "audit",
        "openapi": "openapi",
    },
}
"""The commands in the order of the help, each with its module in this package."""
_MODULES: Final = {name: module for each in _SECTIONS.values() for name, module in each.items()}


class _Commands(click.Group):
    """
    Commands that print expected failures as one sentence, without a traceback.

    A command's module is imported when it is used: all together take a second.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"{__name__}.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, one.get_short_help_str(100)) for name, one in commands if one]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click looks only among commands whose modules are imported.
            name = error.command_name
            raise click.NoSuchCommand(name, possibilities=_MODULES, ctx=ctx) from None

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
    "named by TOKENSVC_CONFIG. `tokensvc doctor` checks them. docs/glossary.md explains words such "
    "as cut-off; docs/deployment.md says how to run a command in a container.",
)
@click.version_option(tokensvc.__version__, prog_name="tokensvc")
def main() -> None:
    """Mint Stream Chat user tokens for verified users."""
