"""The encryption key in a file next to a SQLite database."""

import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database
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


def read_or_create(path: Path, new_content: Callable[[], str]) -> str:
    """
    Return the content of a file. If it does not exist, create it with mode 0600.

    A new file is complete and survives a power failure after the return. If several processes
    start, all return the content of the first.

    Raises:
        OSError: The file cannot be read or created.
        UnicodeDecodeError: The file is not UTF-8.
    """
    if not path.exists():
        _create(path, new_content())
    return path.read_text("utf-8")


def _create(path: Path, content: str) -> None:
    """Create a file completely or not at all. An existing file stays unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)  # unlike a rename, never replaces a file
    finally:
        Path(draft).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
