"""`tokensvc migrate`: update the database schema."""

import click

from tokensvc.app import start_checks, startup
from tokensvc.app.build import open_database
from tokensvc.cli.output import json_option, write_json
from tokensvc.cli.session import command_settings
from tokensvc.database import schema


@click.command("migrate")
@json_option
def migrate(*, as_json: bool) -> None:
    """
    Update the database schema, in one transaction.

    Run it before a new release starts. It can run several times simultaneously, and the running
    release continues to work.
    """
    settings = command_settings()
    start_checks.check_files(settings)
    database = open_database(settings, creates=True)
    try:
        applied = startup.migrate(database, settings.environment)
        status = schema.status(database)
    finally:
        database.close()
    if as_json:
        write_json({"applied": applied, "schema": schema.head(), "status": status})
    elif applied:
        click.echo(f"Applied {', '.join(applied)}: the schema is up to date.")
    elif status == "ahead":
        click.echo("Nothing to do: the schema is from a newer release, and compatible.")
    else:
        click.echo("Nothing to do: the schema is up to date.")
