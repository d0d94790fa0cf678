"""The keys in files, which the gunicorn master reads for its workers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tokensvc.config.loader import Settings
from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database
from tokensvc.issuers.keyset import KeySet, KeySetError, parse_pem_file
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.sessions.access_tokens.store import SIGNING_SECRETS
from tokensvc.sessions.store import FAMILY_KEYS
from tokensvc.stream.keys.store import STREAM_SECRETS
from tokensvc.vault.key_file import load_key_file, load_or_make_key_file
from tokensvc.vault.vault import Vault

SECRETS = (STREAM_SECRETS, SIGNING_SECRETS, FAMILY_KEYS)
"""The secrets of every table."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """
    The keys in files that the settings name.

    The gunicorn master reads them for its workers: a file that was damaged since must not prevent
    the start of a later worker, because that would end the whole service.

    Attributes:
        issuer_keys: Public keys of the issuers that have a key file, by name.
        encryption_keys: Keys of the vault: those of the settings, or the one next to SQLite's file.
        are_temporary: Whether the encryption key is not that of the service, which has none yet or
            has lost it.
    """

    issuer_keys: Mapping[str, KeySet]
    encryption_keys: tuple[str, ...] = field(repr=False)
    are_temporary: bool = False

    @classmethod
    def read(cls, settings: Settings, database: Database) -> "KeyFiles":
        """
        Read the files. Create that of SQLite's encryption key if no stored secret needs an old one.

        Raises:
            StartupError: A file cannot be used, or is missing and needed.
            Refusal: `temporarily_unavailable`.
        """
        return cls._read(settings, lambda path: load_key_file(path, database, SECRETS))

    @classmethod
    def read_or_create(cls, settings: Settings) -> "KeyFiles":
        """
        Read the files. Create that of SQLite's encryption key, although the old one may be lost.

        Raises:
            StartupError: A file cannot be used.
        """
        return cls._read(settings, load_or_make_key_file)

    @classmethod
    def read_existing(cls, settings: Settings) -> "KeyFiles":
        """
        Read the files for a process that stores no secret.

        If SQLite's encryption key does not exist, a temporary one takes its place.

        Raises:
            StartupError: A file cannot be used.
        """
        path = _key_path(settings)
        if path is None or path.exists():
            return cls._read(settings, load_or_make_key_file)
        return cls(read_issuer_keys(settings.issuers), (Vault.generate_key(),), are_temporary=True)

    @classmethod
    def _read(cls, settings: Settings, load: Callable[[Path], str]) -> "KeyFiles":
        encryption_keys = tuple(key.get_secret_value() for key in settings.encryption_keys)
        path = _key_path(settings)
        if path is not None:
            encryption_keys = (load(path),)
        return cls(read_issuer_keys(settings.issuers), encryption_keys)


def _key_path(settings: Settings) -> Path | None:
    """Return the path of the key next to SQLite's file; `None` if the settings have the key."""
    path = settings.sqlite_path
    if settings.encryption_keys or path is None:
        return None
    return path.with_name(f"{path.name}.key")


def read_issuer_keys(issuers: Iterable[IssuerSettings]) -> dict[str, KeySet]:
    """
    Return the keys of each issuer that has a key file, by the issuer's name.

    Raises:
        StartupError: A file is unusable. The text names the issuer, the setting and the file.
    """
    return {
        issuer.name: _read_issuer_key(issuer.name, issuer.public_keys_file)
        for issuer in issuers
        if issuer.public_keys_file is not None
    }


def _read_issuer_key(name: str, file: Path) -> KeySet:
    try:
        return parse_pem_file(file.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
    except KeySetError as error:
        problem = str(error)
    raise StartupError(f"issuers: {name}: public_keys_file: {file} {problem}")
