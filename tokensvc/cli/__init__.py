"""
The command line: one file per noun, on the same services as the routes.

Exit status: 0 on success, 1 on failure or if a check found a problem, 2 on wrong usage.
"""

from typing import Any

import click

import tokensvc
from tokensvc.cli.accounts import accounts
from tokensvc.cli.app import app
from tokensvc.cli.audit import audit
from tokensvc.cli.clients import clients
from tokensvc.cli.delivery import delivery
from tokensvc.cli.doctor import doctor
from tokensvc.cli.keys import keys
from tokensvc.cli.migrate import migrate
from tokensvc.cli.openapi import openapi
from tokensvc.cli.recovery import after_restore, backup, restore
from tokensvc.cli.serve import serve
from tokensvc.cli.signing_keys import signing_keys
from tokensvc.cli.stream_keys import stream_keys
from tokensvc.cli.token import token
from tokensvc.cli.user_id import user_id
from tokensvc.cli.users import users
from tokensvc.cli.worker import worker
from tokensvc.config.loader import SettingsError
from tokensvc.core.errors import Refusal, StartupError


class _Commands(click.Group):
    """Commands that print expected failures as one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(f"Invalid settings:\n{error}") from error
        except StartupError as error:
            raise click.ClickException(str(error)) from error
        except Refusal as refusal:
            raise click.ClickException(refusal.operator_text) from refusal


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings: TOKENSVC_… variables, STREAM_API_KEY, STREAM_API_SECRET, and the TOML file "
    "named by TOKENSVC_CONFIG. `tokensvc doctor` checks them.",
)
@click.version_option(tokensvc.__version__, prog_name="tokensvc")
def main() -> None:
    """Mint Stream Chat user tokens for verified users."""


for _command in (
    serve,
    worker,
    migrate,
    doctor,
    backup,
    restore,
    after_restore,
    delivery,
    token,
    user_id,
    users,
    app,
    audit,
    clients,
    accounts,
    openapi,
    stream_keys,
    signing_keys,
    keys,
):
    main.add_command(_command)
