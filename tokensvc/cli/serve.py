"""`tokensvc serve`: the service under gunicorn."""

import os
import sys

import click

GUNICORN = ("-m", "gunicorn", "-c", "python:tokensvc.gunicorn_conf", "tokensvc.wsgi:app")
"""Arguments for Python to start the service."""


@click.command("serve")
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on, instead of `bind`.")
@click.option(
    "--unsafe-restored",
    is_flag=True,
    help="Start on a restored database without `after-restore`; only in development.",
)
def serve(bind: str | None, *, unsafe_restored: bool) -> None:
    """
    Run the service until SIGTERM or Ctrl-C.

    The start migrates an SQLite database; `tokensvc migrate` migrates PostgreSQL.
    """
    if bind is not None:
        os.environ["TOKENSVC_BIND"] = bind
    if unsafe_restored:
        os.environ["TOKENSVC_UNSAFE_RESTORED"] = "true"
    # Gunicorn replaces this process, so that signals reach its master, also as PID 1.
    command = (sys.executable, *GUNICORN)
    os.execv(command[0], command)  # noqa: S606 - no shell, no user input
