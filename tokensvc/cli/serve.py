"""`tokensvc serve`: the service under gunicorn."""

import os
import sys

import click

GUNICORN = ("-m", "gunicorn", "-c", "python:tokensvc.gunicorn_conf", "tokensvc.wsgi:app")
"""Arguments of Python that start the service."""


@click.command("serve")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen, instead of the setting `bind`.")
def serve(bind: str | None) -> None:
    """
    Run the service until it is told to stop.

    SQLite is brought up to date at the start; PostgreSQL by `tokensvc migrate`.
    """
    if bind is not None:
        os.environ["TOKENSVC_BIND"] = bind
    # Gunicorn takes this process over: what stops the service stops its master, as PID 1 too.
    os.execv(sys.executable, (sys.executable, *GUNICORN))  # noqa: S606 - no shell, no user input
