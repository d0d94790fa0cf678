"""Settings, services and credentials for commands."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click

from tokensvc.app import startup
from tokensvc.app.build import build
from tokensvc.app.key_files import KeyFiles
from tokensvc.app.services import AccountServices, Services
from tokensvc.cli.printer import printable
from tokensvc.config.loader import Settings
from tokensvc.telemetry import logging

STDIN = "-"


def command_settings() -> Settings:
    """
    Read the settings, and log only warnings unless `log.level` is debug.

    Raises:
        SettingsError: At least one setting is invalid.
    """
    settings = startup.load_settings()
    if settings.log.level == "info":
        logging.configure(settings.log.model_copy(update={"level": "warning"}))
    return settings


@contextmanager
def opened_services(*, with_keys: bool = True) -> Iterator[Services]:
    """
    Yield the services, on a prepared database.

    Args:
        with_keys: Whether usable Stream keys are required; false for commands that need none, and
            store no secret.

    Raises:
        SettingsError: At least one setting is invalid.
        StartupError: The operator must change something first.
    """
    settings = command_settings()
    if with_keys:
        services = startup.prepare(settings)
    else:
        startup.prepare_schema(settings)
        services = build(settings, KeyFiles.read_existing(settings))
    with closing(services):
        yield services


@contextmanager
def opened_key_services(*, keys_lost: bool = False) -> Iterator[Services]:
    """
    Yield the services for a command that repairs Stream keys, and stores their secrets.

    Args:
        keys_lost: Whether the operator says that missing encryption keys are lost.

    Raises:
        SettingsError: At least one setting is invalid.
        StartupError: The operator must change something first.
    """
    settings = command_settings()
    key_files = startup.prepare_encryption(settings, keys_lost=keys_lost)
    with closing(build(settings, key_files)) as services:
        yield services


def account_services(services: Services) -> AccountServices:
    """
    Return the services of built-in accounts.

    Raises:
        ClickException: Built-in accounts are off.
    """
    if services.accounts is None:
        raise click.ClickException("Built-in accounts are off: see the setting `accounts.enabled`.")
    return services.accounts


def file_error(verb: str, file: object, error: OSError) -> click.ClickException:
    """Return the error of a file that cannot be read or written."""
    return click.ClickException(f"Cannot {verb} {printable(str(file))}: {error.strerror}.")


def read_secret(what: str) -> str:
    """
    Read a credential from standard input, without echo on a terminal.

    An argument would be visible in the process list and in the shell's history.

    Raises:
        UsageError: The input is empty or not UTF-8.
    """
    return _read(what, confirm=False).strip()


def read_new_password() -> str:
    """
    Read a new password: twice on a terminal, else as the first line of standard input.

    Raises:
        UsageError: The input is empty or not UTF-8.
    """
    # White space is a part of it, except the end of the line.
    return _read("password", confirm=True).partition("\n")[0].removesuffix("\r")


def _read(what: str, *, confirm: bool) -> str:
    try:
        if sys.stdin.isatty():
            text: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
        else:
            text = sys.stdin.read()
        text.encode("utf-8")
    except UnicodeError as error:
        raise click.UsageError(f"The {what} on standard input is not UTF-8 text.") from error
    if not text.strip():
        raise click.UsageError(f"Standard input contains no {what}.")
    return text


def given_or_stdin(argument: str) -> str:
    """
    Return a token given as an argument, or read it from standard input if that is `-`.

    Raises:
        UsageError: The input is empty or not UTF-8.
    """
    return read_secret("token") if argument == STDIN else argument
