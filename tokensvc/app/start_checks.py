"""
The checks before a start. None changes anything.

`startup` refuses to start for each fault, and `doctor` prints each, so both accept the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tokensvc.app.build import open_database
from tokensvc.app.services import Services
from tokensvc.audit.rules import Action
from tokensvc.clients.rules import DEVELOPMENT_ACTOR, MINTING_CONFLICT
from tokensvc.config.loader import Settings
from tokensvc.config.model import PLACEHOLDER_API_KEY
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.core.scopes import Scope
from tokensvc.database import schema, sqlite
from tokensvc.database.origin import check_environment, has_marker
from tokensvc.stream.keys.ring import KEY_MISSING
from tokensvc.stream.keys.rules import StreamKeyInfo
from tokensvc.stream.keys.service import would_seed
from tokensvc.stream.keys.states import KeyState
from tokensvc.vault.vault import EncryptionKeyMissingError

NO_ACTIVE_KEY = (
    "No Stream key is active: set STREAM_API_KEY and STREAM_API_SECRET to the values in Stream's "
    "dashboard. If the key ring already has keys, activate one with "
    "`tokensvc stream-keys activate`."
)

_DAMAGED_KEY = (
    "The secret of the Stream key {id} ({api_key}, {state}) is damaged in the database. Restore it "
    "with `tokensvc stream-keys add {api_key} --without-lost-keys`; or activate another key, then "
    "retire it with `tokensvc stream-keys retire {id}`."
)

_DAMAGED_SIGNING_KEY = (
    "The secret of the signing key {id} ({state}) is damaged in the database. Replace the key with "
    "`tokensvc signing-keys rotate --without-lost-keys`: no session ends."
)

_PLACEHOLDER_KEY = (
    "Stream rejects the placeholder key of `make run`, and the key ring contains it. Activate your "
    "key (`tokensvc stream-keys add`, `tokensvc stream-keys activate`), then run `tokensvc "
    "stream-keys retire {id}`; or set `database_url` to another database."
)

_DEVELOPMENT_CLIENT = (
    "`make run` created the client {id}, which may act for any user. Delete it with `tokensvc "
    "clients delete {id}`, or set `database_url` to another database."
)

_MINTING_CLIENT = (
    "The client {id} has the scope tokens:mint. {conflict} For the last: `tokensvc clients update "
    "{id} --remove-scope tokens:mint`."
)

_RESTORED_DATABASE = (
    "The database was restored from a backup and does not know what happened since: it would "
    "accept revoked sign-ins, deleted clients and retired keys. Run `tokensvc after-restore "
    "--replay AUDIT.jsonl` with an export of the audit trail, or without one (docs/backup.md)."
)

_NO_DATABASE = (
    "The database {path} is missing or empty, and this command does not create it. If the service "
    "uses another one, run the command with the settings of the service (TOKENSVC_CONFIG, "
    "TOKENSVC_DATABASE_URL). For a new installation, run `tokensvc serve` or `tokensvc migrate`."
)

_ALL = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What prevents a start.

    Attributes:
        check: Name of the check that found it.
        detail: What is wrong, and what to do.
    """

    check: str
    detail: str


def check_files(settings: Settings) -> None:
    """
    Check that an SQLite database can be written.

    Raises:
        StartupError: It cannot.
    """
    if settings.sqlite_path is not None:
        sqlite.check_files(settings.sqlite_path)


def check_database(settings: Settings) -> schema.Status:
    """
    Return the state of the schema, if a start can use the database.

    Raises:
        StartupError: A start cannot use the database, or the SQLite file is missing or empty.
    """
    check_files(settings)
    path = settings.sqlite_path
    if path is not None and not path.exists():
        raise StartupError(_NO_DATABASE.format(path=path))
    database = open_database(settings)
    try:
        check_environment(database, settings.environment)
        if database.dialect == "postgresql":
            schema.require_current(database)  # other hosts may use it, so no start migrates it
        status = schema.status(database)
    except Refusal as refusal:
        raise StartupError(refusal.operator_text) from refusal
    finally:
        database.close()
    if status == "empty":
        raise StartupError(_NO_DATABASE.format(path=path))
    return status


def find_faults(services: Services) -> list[Fault]:
    """
    Return what prevents a start with these services, on a database with a current schema.

    Raises:
        Refusal: `temporarily_unavailable`.
    """
    return [fault for check in _CHECKS for fault in check(services)]


def check_services(services: Services) -> None:
    """
    Check that a start with these services is possible.

    Raises:
        StartupError: At least one fault was found. The text has all.
        Refusal: `temporarily_unavailable`.
    """
    faults = find_faults(services)
    if faults:
        raise StartupError("\n".join(fault.detail for fault in faults))


def key_name(api_key: str, state: KeyState, fingerprint: str) -> str:
    """Return a unique name of a Stream key; the ring may contain an API key several times."""
    return f"Stream key {api_key} ({state}, {fingerprint})"


def _encryption_keys(services: Services) -> Iterator[Fault]:
    missing = services.stream.keys.missing_encryption_keys()
    if services.accounts is not None:
        missing |= services.accounts.signing_keys.missing_encryption_keys()
        missing |= services.accounts.lost_family_keys.missing_encryption_keys()
    if missing:
        error = EncryptionKeyMissingError(missing, KEY_MISSING)
        yield Fault("encryption keys", str(error))


def _stream_keys(services: Services) -> Iterator[Fault]:
    stream = services.settings.stream
    will_add = False
    if stream.api_key is not None and stream.api_secret is not None:
        try:
            will_add = would_seed(
                services.database, stream.api_key, stream.api_secret.get_secret_value()
            )
        except StartupError as error:
            yield Fault(f"Stream key {stream.api_key}", str(error))
    damaged = services.stream.keys.damaged()
    for key in damaged:
        detail = _DAMAGED_KEY.format(id=key.id, api_key=key.api_key, state=key.state)
        yield Fault(_name(key), detail)
    has_active = any(key.state is KeyState.ACTIVE for key in _ring(services))
    if not (has_active or will_add or damaged):
        yield Fault("Stream keys", NO_ACTIVE_KEY)


def _signing_keys(services: Services) -> Iterator[Fault]:
    if services.accounts is not None:
        for key in services.accounts.signing_keys.damaged():
            detail = _DAMAGED_SIGNING_KEY.format(id=key.id, state=key.state)
            yield Fault(f"signing key {key.id}", detail)


def _restored_database(services: Services) -> Iterator[Fault]:
    with services.database.read() as connection:
        if not (services.settings.unsafe_restored or has_marker(connection)):
            yield Fault("restored database", _RESTORED_DATABASE)


def _placeholder_key(services: Services) -> Iterator[Fault]:
    if services.settings.environment == "production":
        for key in _ring(services):
            if key.api_key == PLACEHOLDER_API_KEY and not key.is_retired:
                yield Fault(_name(key), _PLACEHOLDER_KEY.format(id=key.id))


def _development_clients(services: Services) -> Iterator[Fault]:
    """Find clients of `make run` in a database from before environments were recorded."""
    if services.settings.environment != "production":
        return
    filters = {"action": Action.CLIENT_CREATED, "actor": DEVELOPMENT_ACTOR}
    created = {event.subject for event in services.audit.page(limit=_ALL, filters=filters)}
    for client in services.clients.page():
        if client.id in created:
            yield Fault(f"client {client.id}", _DEVELOPMENT_CLIENT.format(id=client.id))


def _minting_clients(services: Services) -> Iterator[Fault]:
    if services.settings.sign_up_takes_any_id:
        for client in services.clients.page():
            if Scope.TOKENS_MINT in client.scopes:
                detail = _MINTING_CLIENT.format(id=client.id, conflict=MINTING_CONFLICT)
                yield Fault(f"client {client.id}", detail)


def _name(key: StreamKeyInfo) -> str:
    return key_name(key.api_key, key.state, key.fingerprint)


def _ring(services: Services) -> list[StreamKeyInfo]:
    return services.stream.rotation.page(after=None, limit=_ALL)


_Check: TypeAlias = Callable[[Services], Iterator[Fault]]
_CHECKS: tuple[_Check, ...] = (
    _restored_database,
    _encryption_keys,
    _stream_keys,
    _signing_keys,
    _placeholder_key,
    _development_clients,
    _minting_clients,
)
