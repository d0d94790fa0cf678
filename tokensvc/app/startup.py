"""
Prepares a process for its first request: the settings, and a database that can be used.

Commands call `load_settings` and `prepare`. Processes that stay call `process_settings`,
`prepare_process` and `reload`; the workers of a master then call `process_services`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tokensvc.app import start_checks
from tokensvc.app.build import build, open_database
from tokensvc.app.key_files import KeyFiles
from tokensvc.app.services import Services
from tokensvc.config import loader
from tokensvc.config.loader import Settings, SettingsError
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.database.origin import check_environment, record_environment
from tokensvc.telemetry import logging, redaction

_RESTART_ONLY = ("bind", "workers", "threads", "max_connections", "keep_alive", "stop_timeout")
"""Settings that gunicorn's master applies only once; so are `metrics.bind` and the SQLite file."""

_PREVIOUS_STAY = "the previous settings stay in effect"

_log = structlog.get_logger(__name__)


def load_settings() -> Settings:
    """
    Read the settings from the environment and configure the log.

    Raises:
        SettingsError: At least one setting is invalid.
    """
    settings = loader.load(os.environ)
    redaction.register_secrets(settings.secret_values())
    logging.configure(settings.log)
    return settings


class _Process:
    """What a gunicorn master read for its workers, or `tokensvc worker` for itself."""

    settings: Settings | None = None
    key_files: KeyFiles | None = None


def process_settings() -> Settings:
    """
    Return the settings of this process, or read them if it is the first call.

    A worker that starts later, or after an invalid change, gets what the master read.

    Raises:
        SettingsError: At least one setting is invalid.
    """
    if _Process.settings is None:
        _Process.settings = load_settings()
    return _Process.settings


def create_database(settings: Settings) -> None:
    """
    Create the SQLite database if it is missing, for a start of the service.

    Only `migrate` and `restore` do so too. Another command would act on an empty database, and
    report success for what the service does not see.

    Raises:
        StartupError: The database cannot be created or used.
    """
    start_checks.check_files(settings)
    if settings.sqlite_path is not None:
        with _opened_database(settings, creates=True) as database:
            migrate(database, settings.environment)


def prepare_process() -> Services:
    """
    Prepare the database with the settings of this process, and keep the key files for its workers.

    Returns:
        The services, which the caller closes: a master before it forks.

    Raises:
        SettingsError: At least one setting is invalid.
        StartupError: The operator must change something first.
    """
    services = prepare(process_settings())
    _Process.key_files = services.key_files
    return services


def process_services() -> Services:
    """
    Build the services from what this process or its master has read.

    Raises:
        SettingsError: At least one setting is invalid.
        StartupError: The operator must change something first.
    """
    return build(process_settings(), _Process.key_files)


def reload() -> Services | None:
    """
    Read the settings and the key files again, for workers that start from now on.

    Returns:
        The services, which the caller closes. `None` if the settings are invalid: this is logged,
        and the previous ones stay in effect.
    """
    try:
        return _apply_new_settings(process_settings())
    except (SettingsError, StartupError) as error:
        _log.error("settings_reload_failed", detail=str(error), hint=_PREVIOUS_STAY)
    except Exception as error:  # noqa: BLE001 - it would end the process, and with it the service
        _log.error(
            "settings_reload_failed",
            detail=type(error).__name__,
            hint=_PREVIOUS_STAY,
            exc_info=error,
        )
    return None


def _apply_new_settings(previous: Settings) -> Services:
    settings = loader.load(os.environ)
    redaction.register_secrets(settings.secret_values())  # first, since a failure is logged too
    settings, ignored = _keep_restart_only(previous, settings)
    services = prepare(settings)
    logging.configure(settings.log)
    if ignored:
        _log.warning(
            "restart_needed",
            settings=ignored,
            hint="restart to apply these settings",
        )
    _Process.settings, _Process.key_files = settings, services.key_files
    return services


def _keep_restart_only(previous: Settings, settings: Settings) -> tuple[Settings, list[str]]:
    """
    Keep the previous values of what a running master cannot change.

    Returns:
        The settings to apply, and the names of those whose change is ignored.
    """
    ignored = [name for name in _RESTART_ONLY if getattr(previous, name) != getattr(settings, name)]
    if previous.sqlite_path != settings.sqlite_path:
        ignored.append("database_url")
    kept = {name: getattr(previous, name) for name in ignored}
    if previous.metrics.bind != settings.metrics.bind:
        ignored.append("metrics.bind")
        kept["metrics"] = settings.metrics.model_copy(update={"bind": previous.metrics.bind})
    return settings.model_copy(update=kept), ignored


def prepare(settings: Settings) -> Services:
    """
    Check and prepare the database, and build the services.

    A worker that cannot be built ends the whole service, so a master does this before it forks.

    Returns:
        The services, which the caller closes.

    Raises:
        StartupError: The operator must change something first.
    """
    with _prepared_database(settings) as database:
        services = build(settings, KeyFiles.read(settings, database))
        try:
            start_checks.check_services(services)
            _add_first_keys(services)
            record_environment(database, settings.environment)
        except BaseException:
            services.close()
            raise
    return services


def prepare_schema(settings: Settings) -> None:
    """
    Check and prepare the database only, for commands that need no key.

    Raises:
        StartupError: The operator must change something first.
    """
    with _prepared_database(settings):
        pass


def prepare_encryption(settings: Settings, *, keys_lost: bool) -> KeyFiles:
    """
    Check and prepare the database and the encryption keys, for commands that store secrets.

    Args:
        keys_lost: Whether the operator says that missing keys are lost, so that the key file may be
            created again.

    Raises:
        StartupError: The operator must change something first.
    """
    with _prepared_database(settings) as database:
        if keys_lost:
            return KeyFiles.read_or_create(settings)
        return KeyFiles.read(settings, database)


def migrate(database: Database, environment: str) -> list[str]:
    """
    Apply the missing migrations. Record the environment in a database that was empty.

    Returns:
        Applied revisions, oldest first.

    Raises:
        OtherEnvironmentError: Another environment made the database.
        Refusal: `temporarily_unavailable`.
    """
    check_environment(database, environment)
    was_empty = schema.status(database) == "empty"
    applied = schema.migrate(database)
    if was_empty:
        record_environment(database, environment)
    if applied:
        _log.info("database_migrated", schema=schema.head(), migrations=len(applied))
    return applied


@contextmanager
def _prepared_database(settings: Settings) -> Iterator[Database]:
    """Migrate SQLite. Only `tokensvc migrate` migrates PostgreSQL, which other hosts may use."""
    start_checks.check_database(settings)
    with _opened_database(settings) as database:
        if database.dialect == "sqlite":
            migrate(database, settings.environment)
        yield database


@contextmanager
def _opened_database(settings: Settings, *, creates: bool = False) -> Iterator[Database]:
    database = open_database(settings, creates=creates)
    try:
        yield database
    except Refusal as refusal:
        raise StartupError(refusal.operator_text) from refusal
    finally:
        database.close()


def _add_first_keys(services: Services) -> None:
    """Add the Stream key of the settings, and the first signing key, to an empty key ring."""
    if services.accounts is not None:
        services.accounts.signing_rotation.step()
    stream = services.settings.stream
    if stream.api_key is None or stream.api_secret is None:
        return
    if not services.stream.rotation.page(after=None, limit=1):
        services.stream.rotation.seed(stream.api_key, stream.api_secret.get_secret_value())
