"""Encryption at rest: secrets go into the database wrapped, and come out by a key that covers."""

import base64
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tokensvc.core.errors import StartupError
from tokensvc.keys.rules import decoded_encryption_key, fingerprint


class VaultError(Exception):
    """A ciphertext was not made by any of the keys, or was changed since."""


class Vault:
    """
    Wraps secrets with the first of its keys, and unwraps those of all.

    Args:
        encryption_keys: Fernet keys, so that a new one can be added before it is used.

    Attributes:
        wrapped_by: The fingerprint of the first key.
        fingerprints: Of the keys that it can unwrap with.

    Raises:
        StartupError: No key, or one that is none; names its place, never its text.
    """

    def __init__(self, encryption_keys: Sequence[str]) -> None:
        if not encryption_keys:
            raise StartupError("encryption_keys: at least one is needed.")
        raw = [_decode(key, place) for place, key in enumerate(encryption_keys, start=1)]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in raw])
        self.wrapped_by = fingerprint(raw[0])
        self.fingerprints = frozenset(fingerprint(key) for key in raw)

    @staticmethod
    def generate_key() -> str:
        """Give a new key, as `encryption_keys` takes it."""
        return Fernet.generate_key().decode("ascii")

    def wrap(self, secret: bytes) -> tuple[str, str]:
        """Give the ciphertext and the fingerprint of the key that made it."""
        return self._fernet.encrypt(secret).decode("ascii"), self.wrapped_by

    def unwrap(self, ciphertext: str) -> bytes:
        """
        Give the secret.

        Raises:
            VaultError: No key of this vault made the ciphertext.
        """
        try:
            return self._fernet.decrypt(ciphertext)
        except InvalidToken as error:
            raise VaultError("no key of this process unwraps it") from error


def load_or_make_key_file(path: Path) -> str:
    """
    Give the key in a file; make it first, readable by its owner alone, if there is none.

    Raises:
        StartupError: The file cannot be read or written.
    """
    try:
        if not path.exists():
            _make_key_file(path)
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"The encryption key in {path} cannot be used ({type(error).__name__}): make the file "
            "readable and its folder writable for this process, or set TOKENSVC_ENCRYPTION_KEYS."
        ) from error


def _make_key_file(path: Path) -> None:
    """
    Write a new key, whole or not at all, and never over another.

    Durable before anything is wrapped with it. A link fails when another process was first, whose
    key is the one to use then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{Vault.generate_key()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        Path(draft).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _decode(key: str, place: int) -> bytes:
    try:
        return decoded_encryption_key(key)
    except ValueError as error:
        raise StartupError(f"encryption_keys: number {place} {error}") from None
