"""`tokensvc doctor`: checks what the service needs, and says what to do."""

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import click
from pydantic import SecretStr

from tokensvc.accounts.passwords.argon2_build import describe_build
from tokensvc.accounts.passwords.hashing import milliseconds_per_hash
from tokensvc.app import start_checks, startup
from tokensvc.app.build import build
from tokensvc.app.key_files import KeyFiles
from tokensvc.app.loops import MAX_LOOPS
from tokensvc.app.services import Services
from tokensvc.cli.explain import explain
from tokensvc.cli.printer import error_text, json_option, print_checks
from tokensvc.cli.session import command_settings, given_or_stdin
from tokensvc.config.loader import Settings, SettingsError
from tokensvc.config.model import PLACEHOLDER_API_KEY
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.core.findings import Finding, State
from tokensvc.database.connecting import allowed_connections
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys
from tokensvc.ops.checks import (
    CLOCK_TOLERANCE,
    check_clock_faults,
    check_delivery,
    clock_difference,
)
from tokensvc.ops.health import CheckResult, result_of
from tokensvc.standing.store import app_floor
from tokensvc.stream.api import check_key
from tokensvc.stream.app import StreamApp, find
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.responses import StreamUnavailableError

_CLOCK_TOLERANCE = 2.0
"""Seconds; the measurement itself is accurate to about 1 s."""
_NOT_A_CREDENTIAL = (
    "This is a Stream token, which clients send to Stream. It is not accepted as a credential "
    "here: send a token of the identity provider, or an access token of this service."
)
_PLACEHOLDER = "a placeholder that Stream rejects: set STREAM_API_KEY and STREAM_API_SECRET"


@click.command("doctor")
@click.option(
    "--token",
    "unverified_token",
    metavar="JWT",
    help='Check only this token, of a user, a service or Stream. "-" reads it from standard input.',
)
@json_option
def doctor(unverified_token: str | None, *, as_json: bool) -> None:
    """
    Check settings, database, issuers, Stream and the clock.

    With --token, run each check of that token and name the setting to change. Exit with status 1 if
    a check fails.
    """
    if unverified_token is None:
        checks = _check_service()
    else:
        checks = _check_token(given_or_stdin(unverified_token))
    print_checks(checks, as_json=as_json)


def _check_service() -> Iterator[CheckResult]:
    try:
        settings = command_settings()
    except SettingsError as error:
        for setting in error.invalid:
            yield CheckResult("settings", State.FAILED, str(setting))
        return
    yield CheckResult("settings", State.OK, f"{settings.environment}, for {settings.public_url}")
    database = _check_database(settings)
    yield database
    if database.state is State.FAILED:
        return
    try:
        with _read_only_services(settings) as services:
            for fault in start_checks.find_faults(services):
                yield CheckResult(fault.check, State.FAILED, fault.detail)
            yield from _check_issuers(services)
            yield from _check_stream_keys(services)
            yield result_of("delivery", check_delivery(services.stream.deliveries))
            clock_faults = check_clock_faults(services.operations.clock_faults, State.FAILED)
            yield result_of("cut_offs", clock_faults or Finding(State.OK, "none is in the future"))
            yield from _check_connections(services)
        if settings.has_accounts:
            detail = f"{milliseconds_per_hash():.0f} ms a hash with {describe_build()}"
            yield CheckResult("password hashing", State.OK, detail)
    except (Refusal, StartupError) as error:
        yield CheckResult("start", State.FAILED, error_text(error))


class _ReadOnlyStore(IssuerKeyStore):
    """The stored keys of issuers, without writes."""

    def save(self, issuer: str, keys: StoredKeys) -> None:
        """Do nothing."""


@contextmanager
def _read_only_services(settings: Settings) -> Iterator[Services]:
    """
    Yield the services without changing the database or creating files.

    A file created by root would not be writable by the service. If the encryption key does not
    exist yet, or the start would migrate the database, a temporary one takes its place.

    Raises:
        StartupError: The operator must change something first.
    """
    with tempfile.TemporaryDirectory() as folder:
        key_files = KeyFiles.read_existing(settings)
        status, path = start_checks.check_database(settings), settings.sqlite_path
        if path is not None and status == "behind":
            settings = _with_migrated_copy(settings, path, Path(folder) / "copy.db")
        with closing(build(settings, key_files, issuer_keys=_ReadOnlyStore)) as services:
            yield services


def _with_migrated_copy(settings: Settings, path: Path, copy: Path) -> Settings:
    """Return settings with a migrated copy of the SQLite database, as a start would have it."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    settings = settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{copy}")})
    startup.prepare_schema(settings)
    return settings


def _check_database(settings: Settings) -> CheckResult:
    try:
        status = start_checks.check_database(settings)
    except StartupError as error:
        return CheckResult("database", State.FAILED, str(error))
    name = settings.sqlite_path or "postgresql"
    if status == "behind":
        detail = f"{name}: the schema is behind; the next start migrates it"
        return CheckResult("database", State.DEGRADED, detail)
    return CheckResult("database", State.OK, f"{name}, schema {status}")


def _check_connections(services: Services) -> Iterator[CheckResult]:
    """Compare the connections of one instance with those that PostgreSQL has for all clients."""
    if services.database.dialect != "postgresql":
        return
    with services.database.read() as connection:
        allowed = allowed_connections(connection)
    settings = services.settings
    opened = settings.workers * (settings.threads + MAX_LOOPS)
    detail = f"plan {opened} for each instance, of {allowed} that PostgreSQL has for all clients"
    if opened <= allowed:
        yield CheckResult("connections", State.OK, detail)
        return
    remedy = "raise its `max_connections`, or put PgBouncer in between"
    yield CheckResult("connections", State.DEGRADED, f"{detail}: {remedy}")


def _check_issuers(services: Services) -> Iterator[CheckResult]:
    services.issuers.load_stored_keys()
    services.issuers.refresh()
    for name, health in services.issuers.health().items():
        state = {"ok": State.OK, "stale": State.DEGRADED}.get(health.state, State.FAILED)
        detail = health.last_error or f"{health.keys} keys"
        yield CheckResult(f"issuer {name}", state, detail)
    if not services.issuers.health():
        accounts = "built-in accounts and " if services.settings.has_accounts else ""
        yield CheckResult("issuers", State.OK, f"none: only {accounts}service clients get tokens")


def _check_stream_keys(services: Services) -> Iterator[CheckResult]:
    found_app: StreamApp | None = None
    ahead: float | None = None
    base_url = services.settings.stream.base_url
    for name, key in _stream_keys(services):
        if key.api_key == PLACEHOLDER_API_KEY:
            if services.settings.environment == "development":  # else a start fails
                yield CheckResult(name, State.DEGRADED, _PLACEHOLDER)
            continue
        try:
            check = check_key(base_url, key, system_clock)
        except StreamUnavailableError as error:
            yield CheckResult(name, State.DEGRADED, f"Not checked: {error}")
            continue
        state, verb = (State.OK, "accepts") if check.accepted else (State.FAILED, "rejects")
        yield CheckResult(name, state, f"Stream {verb} its secret ({check.detail})")
        found_app = found_app or check.app
        ahead = check.clock_ahead if ahead is None else ahead
    if found_app is not None:
        yield from _app_results(find(found_app, app_floor(services.database)))
    if ahead is not None:
        yield _check_clock(ahead, services.settings.token.skew)
    yield _check_database_clock(services.database_clock.host_ahead(), ahead)


def _stream_keys(services: Services) -> list[tuple[str, StreamKey]]:
    """
    Return each readable key of the ring with its name.

    If the ring is empty, it is the key that a start would add.
    """
    stream = services.settings.stream
    is_empty = not services.stream.rotation.page(after=None, limit=1)
    if is_empty and stream.api_key is not None and stream.api_secret is not None:
        secret = stream.api_secret.get_secret_value().encode("utf-8")
        first = StreamKey(stream.api_key, secret, KeyState.ACTIVE)
        return [(f"Stream key {stream.api_key}", first)]
    return [
        (start_checks.key_name(key.api_key, key.state, key.fingerprint), key)
        for key in services.stream.keys.current_ring().keys
    ]


def _app_results(findings: Mapping[str, Finding]) -> Iterator[CheckResult]:
    for name, finding in findings.items():
        yield result_of(f"Stream app {name}", finding)
    if not findings:
        yield CheckResult("Stream app", State.OK, "Stream verifies tokens and permissions")


def _check_clock(ahead: float, skew: int) -> CheckResult:
    """Compare the clocks. Clients fail if `iat` is in Stream's future (code 42)."""
    if abs(ahead) <= _CLOCK_TOLERANCE:
        return CheckResult("clock", State.OK, "within 2 s of Stream's")
    direction = "ahead of" if ahead > 0 else "behind"
    detail = f"{abs(ahead):.0f} s {direction} Stream's: synchronize this host's clock (NTP)"
    if ahead >= skew:
        detail += f"; Stream rejects new tokens (code 42) because token.skew is only {skew} s"
        return CheckResult("clock", State.FAILED, detail)
    return CheckResult("clock", State.DEGRADED, detail)


def _check_database_clock(ahead: float, ahead_of_stream: float | None) -> CheckResult:
    """
    Compare this host's clock with the database's, and say which one differs from Stream's.

    Args:
        ahead: Seconds by which this host's clock is ahead of the database's.
        ahead_of_stream: Seconds by which it is ahead of Stream's; `None` if that is not known.
    """
    name, difference = "database_clock", clock_difference(ahead)
    if difference is None:
        return CheckResult(name, State.OK, "within 5 s of this host's")
    if ahead_of_stream is None:
        remedy = "Stream was not reached to compare; synchronize both (NTP)"
    elif abs(ahead_of_stream) <= CLOCK_TOLERANCE:
        remedy = "the database's differs from Stream's: synchronize its server (NTP)"
    elif abs(ahead_of_stream - ahead) <= CLOCK_TOLERANCE:
        remedy = "this host's differs from Stream's: synchronize this host (NTP)"
    else:
        remedy = "both differ from Stream's: synchronize both (NTP)"
    return CheckResult(name, State.FAILED, f"{difference}; {remedy}")


def _check_token(unverified_token: str) -> Iterator[CheckResult]:
    with _read_only_services(command_settings()) as services:
        found = explain(services, unverified_token)
        if found.stream_token is not None:
            yield CheckResult("form", State.FAILED, _NOT_A_CREDENTIAL)
        yield from found.checks
