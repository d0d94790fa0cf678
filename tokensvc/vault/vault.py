"""Encryption at rest: the database contains encrypted secrets only."""

import base64
import hmac
from collections.abc import Iterable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tokensvc.core.errors import StartupError
from tokensvc.vault.rules import decoded_encryption_key, fingerprint

_MAC_LABEL = b"tokensvc: MAC of the lines of an audit export"


class VaultError(Exception):
    """No key of the vault made the ciphertext, or the secret is another one."""


class EncryptionKeyMissingError(StartupError):
    """
    The database contains secrets that no encryption key of this process decrypts.

    Args:
        fingerprints: Fingerprints of the missing keys.
        problem: First sentence of the text.
    """

    def __init__(self, fingerprints: Iterable[str], problem: str) -> None:
        super().__init__(
            f"{problem} The database contains secrets that are encrypted with the key "
            f"{', '.join(sorted(fingerprints))} (fingerprint). Restore the key: add it to "
            "TOKENSVC_ENCRYPTION_KEYS, or on SQLite put the file next to the database back. Or "
            "declare it lost: store the Stream secrets again with `tokensvc stream-keys add "
            "API_KEY --without-lost-keys`, and with built-in accounts replace the signing keys "
            "with `tokensvc signing-keys rotate --without-lost-keys`."
        )


class Vault:
    """
    Encrypts secrets with the first of its keys, and decrypts those of all its keys.

    Args:
        encryption_keys: Fernet keys. A new one is added last before it is moved to the front.

    Attributes:
        first_fingerprint: Fingerprint of the first key.
        fingerprints: Fingerprints of all keys.

    Raises:
        StartupError: There is no key, or one is invalid; the text contains its position only.
    """

    def __init__(self, encryption_keys: Sequence[str]) -> None:
        if not encryption_keys:
            raise StartupError("encryption_keys: at least one is needed.")
        raw = [_decode(key, number) for number, key in enumerate(encryption_keys, start=1)]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in raw])
        self.first_fingerprint = fingerprint(raw[0])
        self.fingerprints = frozenset(fingerprint(key) for key in raw)
        self._mac_keys = {fingerprint(key): hmac.digest(key, _MAC_LABEL, "sha256") for key in raw}

    @staticmethod
    def generate_key() -> str:
        """Return a new key in the format of `encryption_keys`."""
        return Fernet.generate_key().decode("ascii")

    def encrypt(self, secret: bytes) -> tuple[str, str]:
        """Return the ciphertext and the fingerprint of the key that made it."""
        return self._fernet.encrypt(secret).decode("ascii"), self.first_fingerprint

    def decrypt(self, ciphertext: str, expected_fingerprint: str | None = None) -> bytes:
        """
        Return the secret.

        Args:
            expected_fingerprint: Fingerprint that the secret must have.

        Raises:
            VaultError: No key of this vault made the ciphertext, or it has another secret.
        """
        try:
            secret = self._fernet.decrypt(ciphertext)
        except InvalidToken as error:
            raise VaultError("no encryption key of this process decrypts it") from error
        if expected_fingerprint is not None and fingerprint(secret) != expected_fingerprint:
            raise VaultError("it contains another secret")
        return secret

    def mac(self, message: bytes, key: str | None = None) -> str:
        """
        Return the MAC of a line of an audit export, with a key derived from an encryption key.

        Args:
            key: Fingerprint of the encryption key; `None` for the first one.

        Raises:
            VaultError: This vault does not have the key.
        """
        derived = self._mac_keys.get(key or self.first_fingerprint)
        if derived is None:
            raise VaultError(f"no encryption key of this process has the fingerprint {key}")
        return hmac.digest(derived, message, "sha256").hex()

    def can_decrypt(self, ciphertext: str, expected_fingerprint: str) -> bool:
        """Return whether `decrypt` returns the secret."""
        try:
            self.decrypt(ciphertext, expected_fingerprint)
        except VaultError:
            return False
        return True


def _decode(key: str, number: int) -> bytes:
    try:
        return decoded_encryption_key(key)
    except ValueError as error:
        raise StartupError(f"encryption_keys: number {number} {error}") from None
