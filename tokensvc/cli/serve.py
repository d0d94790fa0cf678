"""`tokensvc serve`: the service under gunicorn."""

import os
import sys

import click

GUNICORN = ("-m", "gunicorn", "-c", "python:tokensvc.gunicorn_conf", "tokensvc.wsgi:app")
"""Arguments for Python to start the service."""


@click.command("serve")
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on, instead of `bind`.")
def serve(bind: str | None) -> None:
    """
    Run the service until SIGTERM or Ctrl-C.

    The start migrates an SQLite database; `tokensvc migrate` migrates PostgreSQL.
    """
    if bind is not None:
        os.environ["TOKENSVC_BIND"] = bind
    # Gunicorn replaces this process, so that signals reach its master, also as PID 1.
    os.execv(sys.executable, (sys.executable, *GUNICORN))  # noqa: S606 - no shell, no user input
