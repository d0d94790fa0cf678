"""
The ring of the keys that sign access tokens, of a process: ES256 (RFC 7518 section 3.4).

Owns the form of these keys: made here, stored as PKCS #8, published as a JWK Set (RFC 7517). Tokens
belong to `sessions`.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from tokensvc.database.engine import Database
from tokensvc.sessions.access_tokens.rules import SigningKeyInfo
from tokensvc.sessions.access_tokens.store import SIGNING_KEYS
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.keys.ring import DecryptedRing
from tokensvc.stream.keys.states import KeyState, keys_unreadable
from tokensvc.vault.vault import Vault

ALGORITHM = "ES256"

_COORDINATE_BYTES = 32


class JsonWebKey(msgspec.Struct, frozen=True):
    """
    A public key (RFC 7517 section 4, RFC 7518 section 6.2).

    Attributes:
        kid: ID of the key, in the header of its tokens.
        kty: Always `EC`.
        crv: Always `P-256`.
        x: X coordinate, in base64url.
        y: Y coordinate, in base64url.
        use: Always `sig`.
        alg: Always `ES256`.
    """

    kid: str
    kty: str
    crv: str
    x: str
    y: str
    use: str
    alg: str


class JsonWebKeySet(msgspec.Struct, frozen=True):
    """
    The public keys that verify access tokens (RFC 7517 section 5).

    Attributes:
        keys: Keys that are standby, active or retiring, newest first.
    """

    keys: list[JsonWebKey]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    A key of access tokens.

    Attributes:
        kid: ID of the key.
        state: State of the key; not `retired`, since a retired key has no secret.
        private: Key that signs.
        public: Key that verifies.
    """

    kid: str
    state: KeyState
    private: EllipticCurvePrivateKey = field(repr=False)
    public: EllipticCurvePublicKey = field(repr=False)


@dataclass(slots=True)
class SigningKeyRing:
    """
    The keys as of one version of the ring.

    Attributes:
        version: Version of the ring that has these keys.
        keys: Keys by their ID that are not retired and that this process can read, newest first.
        is_complete: Whether these are all keys that are not retired.
        active: Key that signs, if this process can read it.
        jwks: Public keys.
    """

    version: RingVersion
    keys: Mapping[str, SigningKey]
    is_complete: bool = True
    active: SigningKey | None = field(init=False)
    jwks: JsonWebKeySet = field(init=False)

    def __post_init__(self) -> None:
        keys = self.keys.values()
        self.active = next((key for key in keys if key.state is KeyState.ACTIVE), None)
        self.jwks = JsonWebKeySet([_json_web_key(key) for key in keys])


class SigningKeys(DecryptedRing[SigningKeyInfo, SigningKeyRing]):
    """The keys that sign access tokens."""

    _secrets_name = "signing keys"
    _none_active = "No signing key is active."

    def __init__(self, database: Database, vault: Vault) -> None:
        super().__init__(database, vault, SIGNING_KEYS)

    def signing_key(self, version: RingVersion) -> SigningKey:
        """
        Return the key that signs.

        Args:
            version: Version of the ring that was just read.

        Raises:
            Refusal: `temporarily_unavailable`: no key is active, or this process cannot read it.
        """
        key = self.ring_at(version).active
        if key is None:
            raise keys_unreadable("no signing key is active, or it cannot be decrypted")
        return key

    def ring_with(self, kid: str) -> SigningKeyRing:
        """Return the loaded ring if it has a key, else the ring in its current state."""
        ring = self._ring
        if ring is not None and kid in ring.keys:
            return ring
        return self.up_to_date_ring()

    def up_to_date_ring(self) -> SigningKeyRing:
        """Return the ring in its current state. Nothing is decrypted if it is already loaded."""
        return self.ring_at(self._store.read(self._database).version)

    def public_keys(self) -> JsonWebKeySet:
        """
        Return the public keys to publish.

        Raises:
            Refusal: `temporarily_unavailable` if this process cannot read one of the keys:
                verifiers cache the set, and would refuse the tokens of that key.
        """
        ring = self.up_to_date_ring()
        if not ring.is_complete:
            raise keys_unreadable("a signing key cannot be decrypted")
        return ring.jwks

    def _build(
        self, version: RingVersion, keys: Sequence[SigningKeyInfo], secrets: Mapping[str, bytes]
    ) -> SigningKeyRing:
        return SigningKeyRing(
            version,
            {
                key.id: _signing_key(key, secrets[key.fingerprint])
                for key in keys
                if key.fingerprint in secrets
            },
            is_complete=all(key.fingerprint in secrets for key in keys),
        )


def generate_secret() -> bytes:
    """Return a new private key (PKCS #8, DER)."""
    return generate_private_key(SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )


def _signing_key(info: SigningKeyInfo, secret: bytes) -> SigningKey:
    private = load_der_private_key(secret, password=None)
    if not isinstance(private, EllipticCurvePrivateKey):
        raise TypeError(f"{info.id} is not an elliptic-curve key")
    return SigningKey(info.id, info.state, private, private.public_key())


def _json_web_key(key: SigningKey) -> JsonWebKey:
    point = key.public.public_numbers()
    return JsonWebKey(
        kid=key.kid,
        kty="EC",
        crv="P-256",
        x=_coordinate(point.x),
        y=_coordinate(point.y),
        use="sig",
        alg=ALGORITHM,
    )


def _coordinate(number: int) -> str:
    # Always 32 bytes, also if the first ones are zero (RFC 7518 section 6.2.1.2).
    return urlsafe_b64encode(number.to_bytes(_COORDINATE_BYTES)).rstrip(b"=").decode("ascii")
