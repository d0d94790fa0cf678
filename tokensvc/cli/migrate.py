"""`tokensvc migrate`: bring the database's schema up to date."""

import click

from tokensvc.app import container
from tokensvc.cli.output import json_option, write_json
from tokensvc.cli.session import load_settings
from tokensvc.database import schema


@click.command("migrate")
@json_option
def migrate(*, as_json: bool) -> None:
    """
    Bring the database's schema up to date, all or nothing.

    Run it before a new release starts; several at once do no harm, and the release that runs goes
    on working.
    """
    database = container.open_database(load_settings())
    try:
        applied = schema.migrate(database)
        status = schema.status(database)
    finally:
        database.close()
    if as_json:
        write_json({"applied": applied, "schema": schema.head(), "status": status})
    elif applied:
        click.echo(f"Applied {', '.join(applied)}: the schema is up to date.")
    elif status == "ahead":
        click.echo("Nothing to do: the schema is a newer release's, which this one works with.")
    else:
        click.echo("Nothing to do: the schema is up to date.")
