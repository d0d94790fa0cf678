"""
What comes before the first request: the settings of the process, and a database that is ready.

`load_settings` for a command, `settings_of_process` for what stays, `reload` for HUP; `prepare`
before the fork. Leaves building to `container`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tokensvc.app import container
from tokensvc.config import loader as settings_module
from tokensvc.config.loader import Settings, SettingsError
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.database import schema
from tokensvc.keys.rules import StreamKeyInfo
from tokensvc.telemetry import logging, redaction

_FIXED = ("bind", "workers", "threads")
"""Settings that gunicorn's master takes up once; so are `metrics.bind` and the SQLite file."""

NO_ACTIVE_KEY = (
    "No Stream key is there to sign tokens: set STREAM_API_KEY and STREAM_API_SECRET, as "
    "Stream's dashboard shows them; or, once the ring has keys, let one sign with "
    "`tokensvc stream-keys activate`."
)

_DAMAGED_KEY = (
    "The secret of the Stream key {id} ({api_key}, {state}) is damaged in the database. Give it "
    "back with `tokensvc stream-keys add {api_key} --without-lost-keys`; or, once another key is "
    "active, end it with `tokensvc stream-keys retire {id}`."
)

_STAYS = "the former settings stay in force"

_log = structlog.get_logger(__name__)


def load_settings() -> Settings:
    """
    Read the settings from the environment, and log as they say.

    Raises:
        SettingsError: With every fault.
    """
    settings = settings_module.load(os.environ)
    redaction.register_secrets(settings.secret_values())
    logging.configure(settings.log)
    return settings


class _ProcessSettings:
    """The settings that a gunicorn master has read for its workers, or `tokensvc worker` read."""

    settings: Settings | None = None


def settings_of_process() -> Settings:
    """
    Give the settings that were read before the fork; read them if none were.

    So that a worker that starts later, or after a faulty change, runs with what its siblings have.

    Raises:
        SettingsError: With every fault.
    """
    if _ProcessSettings.settings is None:
        _ProcessSettings.settings = load_settings()
    return _ProcessSettings.settings


def reload() -> bool:
    """
    Read the settings again, for what is built from now on.

    Returns:
        Whether they are in force; what is refused is logged, and the former stay.
    """
    try:
        _apply(settings_of_process())
    except (SettingsError, StartupError) as error:
        _log.error("reload_refused", detail=str(error), hint=_STAYS)
    except Exception as error:  # noqa: BLE001 - it would end the process, and with it the service
        _log.error("reload_refused", detail=type(error).__name__, hint=_STAYS, exc_info=error)
    else:
        return True
    return False


def _apply(former: Settings) -> None:
    settings = settings_module.load(os.environ)
    redaction.register_secrets(settings.secret_values())  # first, since a refusal is logged too
    settings, unchanged = _keep_what_is_fixed(former, settings)
    prepare(settings)
    logging.configure(settings.log)
    if unchanged:
        _log.warning(
            "restart_needed",
            settings=unchanged,
            hint="their changes are not in force: they take a restart",
        )
    _ProcessSettings.settings = settings


def _keep_what_is_fixed(former: Settings, settings: Settings) -> tuple[Settings, list[str]]:
    """
    Take back what a running master cannot change: its sockets, its processes, a locked file.

    Returns:
        The settings that can be in force, and the names of those whose change cannot.
    """
    fixed = [name for name in _FIXED if getattr(former, name) != getattr(settings, name)]
    if former.sqlite_path != settings.sqlite_path:
        fixed.append("database_url")
    kept = {name: getattr(former, name) for name in fixed}
    if former.metrics.bind != settings.metrics.bind:
        fixed.append("metrics.bind")
        kept["metrics"] = settings.metrics.model_copy(update={"bind": former.metrics.bind})
    return settings.model_copy(update=kept), fixed


def prepare(settings: Settings) -> None:
    """
    Bring the database to where the service can start, and build what a worker will build.

    A worker that cannot be built ends the whole service, so this is asked before the fork.

    Raises:
        StartupError: What the operator must change first.
    """
    with _prepared_database(settings):
        services = container.build(settings)
        try:
            _prepare_keys(services)
        finally:
            services.close()


def prepare_schema(settings: Settings) -> None:
    """
    Bring the database to where its keys can be put in order, whatever they and the settings say.

    Raises:
        StartupError: What the operator must change first.
    """
    with _prepared_database(settings):
        pass


@contextmanager
def _prepared_database(settings: Settings) -> Iterator[None]:
    """SQLite is migrated; a shared database never is by surprise, `tokensvc migrate` does it."""
    database = container.open_database(settings)
    try:
        if database.dialect == "sqlite":
            schema.migrate(database)
        else:
            schema.require_current(database)
        yield
    except Refusal as refusal:
        raise StartupError(f"{refusal.detail} ({refusal.reason})") from refusal
    finally:
        database.close()


def _prepare_keys(services: container.Services) -> None:
    services.keys.check_covered()
    stream = services.settings.stream
    if stream.api_key is not None and stream.api_secret is not None:
        services.rotation.seed(stream.api_key, stream.api_secret.get_secret_value())
    damaged = [damaged_key_message(key) for key in services.keys.unreadable()]
    if damaged or not services.keys.has_active():
        raise StartupError("\n".join(damaged) or NO_ACTIVE_KEY)


def damaged_key_message(key: StreamKeyInfo) -> str:
    """Say what to do about a key whose secret cannot be read with any encryption key."""
    return _DAMAGED_KEY.format(id=key.id, api_key=key.api_key, state=key.state)
