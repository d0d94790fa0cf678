"""The encryption key in a file next to a SQLite database."""

from collections.abc import Iterable
from pathlib import Path

from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database
from tokensvc.database.files import read_or_create
from tokensvc.vault.rules import decoded_encryption_key
from tokensvc.vault.store import EncryptedSecrets
from tokensvc.vault.vault import EncryptionKeyMissingError, Vault


def load_key_file(path: Path, database: Database, tables: Iterable[EncryptedSecrets]) -> str:
    """
    Return the key in the file. Create a missing file only if no stored secret needs the old key.

    Args:
        tables: Secrets of each table.

    Raises:
        EncryptionKeyMissingError: The file is missing, and the database has secrets.
        StartupError: The file cannot be used.
    """
    # First, since another process may create the file and store the first secret meanwhile.
    with database.read() as connection:
        fingerprints = {key for table in tables for key in table.key_fingerprints(connection)}
    if fingerprints and not path.exists():
        raise EncryptionKeyMissingError(fingerprints, f"The encryption key file {path} is missing.")
    return load_or_make_key_file(path)


def load_or_make_key_file(path: Path) -> str:
    """
    Return the key in a file. If the file does not exist, create it with a new key.

    The file is durable before anything is wrapped with its key.

    Raises:
        StartupError: The file cannot be read or written, or is damaged.
    """
    try:
        key = read_or_create(path, lambda: f"{Vault.generate_key()}\n").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"The encryption key in {path} cannot be used ({type(error).__name__}): make the file "
            "readable and its folder writable for this process, or set TOKENSVC_ENCRYPTION_KEYS."
        ) from error
    try:
        decoded_encryption_key(key)
    except ValueError:
        raise StartupError(
            f"The encryption key in {path} is damaged: restore the file. If the key is lost, move "
            "the file away, and see `tokensvc stream-keys add --help` for `--without-lost-keys`."
        ) from None
    return key
