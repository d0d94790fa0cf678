"""The services that commands call, opened and closed again; and stdin, where secrets come in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from tokensvc.app import container, startup
from tokensvc.app.container import Services
from tokensvc.config.loader import Settings
from tokensvc.telemetry import logging

STDIN = "-"


def load_settings() -> Settings:
    """
    Read the settings; the log of a command has warnings alone, unless it is set to debug.

    Raises:
        SettingsError: With every fault.
    """
    settings = startup.load_settings()
    if settings.log.level == "info":
        logging.configure(settings.log.model_copy(update={"level": "warning"}))
    return settings


@contextmanager
def opened_services(*, with_keys: bool = True) -> Iterator[Services]:
    """
    Give the services of the settings, on a database that is ready for them.

    Args:
        with_keys: Refuse to go on unless the service itself could sign. Commands that put the keys
            in order are for when it cannot.
    """
    settings = load_settings()
    if with_keys:
        startup.prepare(settings)
    else:
        startup.prepare_schema(settings)
    services = container.build(settings)
    try:
        yield services
    finally:
        services.close()


def read_secret(what: str) -> str:
    """
    Read a credential from standard input, hidden where a person types it.

    An argument would stand in the list of processes and in the history of the shell.

    Raises:
        UsageError: Nothing came, or no text.
    """
    try:
        if sys.stdin.isatty():
            text: str = click.prompt(what, hide_input=True, err=True)
        else:
            text = sys.stdin.read()
        text.encode("utf-8")
    except UnicodeError as error:
        raise click.UsageError(f"The {what} on standard input is no UTF-8 text.") from error
    if not text.strip():
        raise click.UsageError(f"No {what} came on standard input.")
    return text.strip()


def given_or_stdin(argument: str, what: str) -> str:
    """
    Give a credential that was named as an argument, or read it where the argument is `-`.

    Raises:
        UsageError: Nothing came.
    """
    return read_secret(what) if argument == STDIN else argument
