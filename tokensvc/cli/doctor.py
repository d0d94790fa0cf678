"""`tokensvc doctor`: whether everything is there that the service needs, and what to do if not."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from pydantic import SecretStr

from tokensvc.app import container, startup
from tokensvc.app.container import Services
from tokensvc.cli.output import json_option, printable, write_json
from tokensvc.cli.session import given_or_stdin, load_settings
from tokensvc.config.loader import Settings, SettingsError
from tokensvc.config.model import PLACEHOLDER_API_KEY
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.database import schema
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys
from tokensvc.keys.rules import KeyState, fingerprint
from tokensvc.keys.vault import Vault
from tokensvc.ops.checks import check_delivery
from tokensvc.ops.health import CheckResult, State
from tokensvc.stream.api import KeyCheck, StreamUnavailableError, check_key

_MARKS = {State.OK: "ok  ", State.DEGRADED: "warn", State.FAILED: "FAIL"}
_CLOCK_TOLERANCE = 2.0
"""Seconds; the comparison itself is good to about one."""


@click.command("doctor")
@click.option(
    "--token",
    "unverified_token",
    metavar="JWT",
    help='Explain a user\'s token of an identity provider instead; "-" reads it from stdin.',
)
@json_option
def doctor(unverified_token: str | None, *, as_json: bool) -> None:
    """
    Check settings, database, issuers, Stream keys and clock.

    With --token, make each check of that token, and say which setting to change. Ends with status 1
    if something fails.
    """
    if unverified_token is None:
        results = _examine()
    else:
        results = _explain(given_or_stdin(unverified_token, "token"))
    audit_reason = []
    for result in results:
        audit_reason.append(result)
        if not as_json:
            detail = f"{result.name}: {result.detail}" if result.detail else result.name
            click.echo(f"{_MARKS[result.state]}  {printable(detail)}")
    if as_json:
        write_json(
            [
                {"check": result.name, "state": result.state, "detail": result.detail}
                for result in audit_reason
            ]
        )
    if any(result.state is State.FAILED for result in audit_reason):
        raise SystemExit(1)


def _examine() -> Iterator[CheckResult]:
    try:
        settings = load_settings()
    except SettingsError as error:
        for fault in error.invalid:
            yield CheckResult("settings", State.FAILED, str(fault))
        return
    yield CheckResult("settings", State.OK, f"{settings.environment}, for {settings.public_url}")
    found = _database(settings)
    yield found
    if found.state is State.FAILED:
        return
    try:
        with _read_only_services(settings) as services:
            yield from _issuers(services)
            yield from _stream(services)
            yield check_delivery(services.deliveries)
    except (Refusal, StartupError) as error:
        yield CheckResult("start", State.FAILED, _text(error))


class _ReadStore(IssuerKeyStore):
    """The keys of issuers that the service has kept."""

    def save(self, issuer: str, keys: StoredKeys) -> None:
        """Leave what is kept as it is."""


@contextmanager
def _read_only_services(settings: Settings) -> Iterator[Services]:
    """
    Give the services of the settings, made of what is there: a diagnosis writes nothing.

    A file of root's would be in the way of the service. Where the first start would make the
    database or the encryption key, there is a passing one.

    Raises:
        StartupError: What the operator must change first.
    """
    with tempfile.TemporaryDirectory() as folder:
        if _is_missing(settings.sqlite_path):
            scratch = SecretStr(f"sqlite:///{Path(folder) / 'scratch.db'}")
            settings = settings.model_copy(update={"database_url": scratch})
            startup.prepare_schema(settings)
        if not settings.encryption_keys and _is_missing(container.key_file(settings)):
            passing = (SecretStr(Vault.generate_key()),)
            settings = settings.model_copy(update={"encryption_keys": passing})
        services = container.build(settings, issuer_keys=_ReadStore)
        try:
            schema.require_current(services.database)
            yield services
        finally:
            services.close()


def _is_missing(path: Path | None) -> bool:
    return path is not None and not path.exists()


def _database(settings: Settings) -> CheckResult:
    path = settings.sqlite_path
    if _is_missing(path):
        return CheckResult("database", State.DEGRADED, f"{path} is made by the first start")
    try:
        database = container.open_database(settings)
        try:
            status = schema.status(database)
        finally:
            database.close()
    except (Refusal, StartupError) as error:
        return CheckResult("database", State.FAILED, _text(error))
    if status in {"behind", "empty"}:
        detail = f"the schema is {status}: run `tokensvc migrate`, then ask again"
        return CheckResult("database", State.FAILED, detail)
    return CheckResult("database", State.OK, f"{database.dialect}, schema {status}")


def _issuers(services: Services) -> Iterator[CheckResult]:
    services.issuers.load_stored_keys()
    services.issuers.refresh()
    for name, health in services.issuers.health().items():
        state = {"ok": State.OK, "stale": State.DEGRADED}.get(health.state, State.FAILED)
        detail = health.last_error or f"{health.keys} keys"
        yield CheckResult(f"issuer {name}", state, detail)
    if not services.issuers.health():
        yield CheckResult("issuers", State.OK, "none: only service clients get tokens")


def _stream(services: Services) -> Iterator[CheckResult]:
    clocks: list[float] = []
    base_url = services.settings.stream.base_url
    for name, api_key, secret in _pairs(services):
        if api_key == PLACEHOLDER_API_KEY:
            detail = "a placeholder, Stream accepts none of its tokens: set STREAM_API_KEY"
            yield CheckResult(name, State.DEGRADED, detail)
            continue
        try:
            answer = check_key(
                base_url=base_url, api_key=api_key, secret=secret, clock=system_clock
            )
        except StreamUnavailableError as error:
            yield CheckResult(name, State.DEGRADED, f"Stream was not asked: {error}")
            continue
        yield _verdict(name, answer)
        if answer.clock_ahead is not None:
            clocks.append(answer.clock_ahead)
    for key in services.keys.unreadable():
        name = _name(key.api_key, key.state, key.fingerprint)
        yield CheckResult(name, State.FAILED, startup.damaged_key_message(key))
    yield from (_clock(ahead, services.settings.token.skew) for ahead in clocks[:1])


def _pairs(services: Services) -> list[tuple[str, str, bytes]]:
    """
    Give the pairs of the ring or, of an empty one, the pair that a start would put into it.

    Returns:
        Names for people, API keys and secrets.

    Raises:
        StartupError: A start would be refused.
    """
    services.keys.check_covered()
    api_key, secret = services.settings.stream.api_key, services.settings.stream.api_secret
    if api_key is not None and secret is not None:
        text = secret.get_secret_value()
        if services.keys.would_seed(api_key, text):
            return [(f"Stream key {api_key}", api_key, text.encode("utf-8"))]
    ring = services.keys.ring_at(0)
    if ring.active is None and not services.keys.unreadable():
        raise StartupError(startup.NO_ACTIVE_KEY)
    return [
        (_name(key.api_key, key.state, fingerprint(key.secret)), key.api_key, key.secret)
        for key in ring.keys
    ]


def _name(api_key: str, state: KeyState, secret_fingerprint: str) -> str:
    """Name a row of the ring, which may hold several of one API key."""
    return f"Stream key {api_key} ({state}, {secret_fingerprint})"


def _verdict(name: str, answer: KeyCheck) -> CheckResult:
    if answer.accepted:
        return CheckResult(name, State.OK, f"Stream accepts its secret ({answer.detail})")
    return CheckResult(name, State.FAILED, f"Stream refuses its secret ({answer.detail})")


def _clock(ahead: float, skew: int) -> CheckResult:
    """Compare the clocks: an `iat` that lies in Stream's future is fatal to clients (code 42)."""
    if abs(ahead) <= _CLOCK_TOLERANCE:
        return CheckResult("clock", State.OK, "within 2 s of Stream's")
    direction = "ahead of" if ahead > 0 else "behind"
    detail = f"{abs(ahead):.0f} s {direction} Stream's: let this host keep time (NTP)"
    if ahead >= skew:
        detail += f"; beyond token.skew ({skew} s) Stream refuses new tokens with code 42"
        return CheckResult("clock", State.FAILED, detail)
    return CheckResult("clock", State.DEGRADED, detail)


def _explain(unverified_token: str) -> Iterator[CheckResult]:
    with _read_only_services(load_settings()) as services:
        services.issuers.load_stored_keys()
        services.issuers.refresh()
        findings = services.issuers.explain(unverified_token)
    for finding in findings:
        yield CheckResult(finding.check, State.OK if finding.ok else State.FAILED, finding.detail)


def _text(error: Exception) -> str:
    if isinstance(error, Refusal):
        return f"{error.detail} ({error.reason})"
    return str(error)
