"""`tokensvc migrate`: update the database schema."""

import click

from tokensvc.app import start_checks, startup
from tokensvc.app.build import open_database
from tokensvc.cli.printer import Result, prints_result
from tokensvc.cli.session import command_settings
from tokensvc.database import schema


@click.command("migrate")
@prints_result
def migrate() -> Result:
    """
    Update the database schema, in one transaction.

    Run it before a new release starts. Several hosts may run it simultaneously. The previous
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
    if applied:
        text = f"Applied {', '.join(applied)}: the schema is up to date."
    elif status == "ahead":
        text = "Nothing to do: the schema is from a newer release, and compatible."
    else:
        text = "Nothing to do: the schema is up to date."
    return Result({"applied": applied, "schema": schema.head(), "status": status}, [text])
