"""
The keys that verify tokens: parsed from a published set or a file, found by ID and algorithm.

Owns which keys may be used (RFC 7517, RFC 8725 section 3.5): public, asymmetric, for signatures,
strong enough, and each only with the algorithms of its type. Other keys are ignored, so that one
unusual key of a provider does not make the rest unusable.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.algorithms import get_default_algorithms as library_algorithms
from jwt.exceptions import InvalidKeyError

MAX_KEYS = 64
MAX_KEYS_WITHOUT_ID = 8
"""Number of keys that a token without `kid` is tried with: each costs a verification."""

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LIBRARY = library_algorithms()
ALGORITHMS: Mapping[str, Algorithm] = {
    name: _LIBRARY[name] for name in (*_RSA_ALGORITHMS, *_CURVE_ALGORITHMS.values(), "EdDSA")
}

_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 8192
_MIN_RSA_EXPONENT = 65537
_MAX_RSA_EXPONENT = 2**256
"""FIPS 186-5 section 5.1, for both bounds."""
_KEY_TYPES: Mapping[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], object]]] = {
    "RSA": (("n", "e"), RSAAlgorithm.from_jwk),
    "EC": (("crv", "x", "y"), ECAlgorithm.from_jwk),
    "OKP": (("crv", "x"), OKPAlgorithm.from_jwk),
}
"""Members and constructor of each type of public key (RFC 7518 section 6, RFC 8037)."""
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class KeySetError(Exception):
    """The text is not a key set. The message does not quote it."""


class UnusableKeyError(Exception):
    """The key is unusable."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """
    A public key with its algorithms.

    Attributes:
        kid: Key ID in tokens; `None` for a key without one, as in a file.
        algorithms: Algorithms of its type, or the one that its owner declared.
        key: The public key.
    """

    kid: str | None
    algorithms: tuple[str, ...]
    key: PublicKey = field(repr=False)

    def verifies(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Return whether this key made the signature."""
        return ALGORITHMS[algorithm].verify(signing_input, self.key, signature)


class KeySet:
    """
    Keys, found by ID and algorithm in one look-up.

    Args:
        keys: Usable keys.
        ignored: Reasons why other keys are not used, for the operator.
    """

    __slots__ = ("_by_kid", "_without_kid", "ignored", "size")

    def __init__(self, keys: Iterable[VerificationKey], ignored: Iterable[str] = ()) -> None:
        self.size = 0
        self.ignored = tuple(ignored)
        # A token without `kid` is looked up with the ID None: such a list has all keys.
        self._by_kid: dict[tuple[str | None, str], tuple[VerificationKey, ...]] = {}
        self._without_kid: dict[str, tuple[VerificationKey, ...]] = {}
        for key in keys:
            self.size += 1
            for algorithm in key.algorithms:
                self._add(self._by_kid, (None, algorithm), key)
                if key.kid is None:
                    self._add(self._without_kid, algorithm, key)
                else:
                    self._add(self._by_kid, (key.kid, algorithm), key)

    def find(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        """
        Return the keys that may have signed a token, usually one.

        A token without `kid` may be signed with any key of the algorithm, and a key without `kid`
        may have signed any token.
        """
        return self._by_kid.get((kid, algorithm)) or self._without_kid.get(algorithm, ())

    @staticmethod
    def _add(
        index: dict[Any, tuple[VerificationKey, ...]], at: object, key: VerificationKey
    ) -> None:
        index[at] = (*index.get(at, ()), key)[:MAX_KEYS_WITHOUT_ID]


def parse_document(document: bytes) -> KeySet:
    """
    Parse a fetched set: a JWK Set (RFC 7517 section 5), or Google's object of certificates by ID.

    Raises:
        KeySetError: The document is neither, or has more than 64 keys.
    """
    try:
        content = json.loads(document.decode("utf-8"))
    except (ValueError, RecursionError):
        raise KeySetError("the document is not JSON") from None
    if not isinstance(content, dict):
        raise KeySetError("the document is not a JSON object")
    if isinstance(content.get("keys"), list):
        entries = [(_jwk_name(jwk), jwk) for jwk in content["keys"]]
        return _collect(entries, _from_jwk)
    if content and all(
        isinstance(pem, str) and pem.startswith("-----BEGIN CERTIFICATE-----")
        for pem in content.values()
    ):
        return _collect(list(content.items()), _from_certificate)
    raise KeySetError("the document has neither `keys` nor certificates")


def parse_pem_file(text: str) -> KeySet:
    """
    Parse an operator's file of PEM public keys or certificates.

    Raises:
        KeySetError: A block is unusable. Unlike in a provider's set, this is a configuration error.
    """
    blocks = list(_PEM_BLOCK.finditer(text))
    if not blocks:
        raise KeySetError("contains no PEM block")
    if len(blocks) > MAX_KEYS_WITHOUT_ID:
        raise KeySetError(f"contains more than {MAX_KEYS_WITHOUT_ID} keys")
    keys = []
    for number, block in enumerate(blocks, start=1):
        try:
            keys.append(_from_pem(block[1], block[0].encode("utf-8")))
        except UnusableKeyError as error:
            raise KeySetError(f"block {number}: {error}") from None
    return KeySet(keys)


def _collect(
    entries: list[tuple[str, Any]], build: Callable[[str, Any], VerificationKey]
) -> KeySet:
    if len(entries) > MAX_KEYS:
        raise KeySetError(f"the set has more than {MAX_KEYS} keys")
    keys: list[VerificationKey] = []
    ignored: list[str] = []
    for name, entry in entries:
        try:
            keys.append(build(name, entry))
        except UnusableKeyError as error:
            ignored.append(f"{name[:64]}: {error}")
    return KeySet(keys, ignored)


def _jwk_name(jwk: Any) -> str:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    return kid if isinstance(kid, str) else "(no kid)"


def _from_jwk(_name: str, jwk: Any) -> VerificationKey:
    if not isinstance(jwk, dict):
        raise UnusableKeyError("not a JSON object")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKeyError("`kid` is not a string")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKeyError("`use` is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKeyError("`key_ops` lacks verify")
    return _verification_key(_public_key(jwk), kid, jwk.get("alg"))


def _public_key(jwk: dict[str, Any]) -> Any:
    """Build the key of a JWK from its public members only."""
    key_type = _KEY_TYPES.get(str(jwk.get("kty")))
    if key_type is None:
        raise UnusableKeyError(f"`kty` is not one of {', '.join(_KEY_TYPES)}")
    if "d" in jwk:
        raise UnusableKeyError("it is a private key")
    members, build = key_type
    values = {name: jwk.get(name) for name in members}
    if not all(isinstance(value, str) for value in values.values()):
        raise UnusableKeyError("its numbers are not strings")
    try:
        return build({"kty": jwk["kty"], **values})
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError):
        raise UnusableKeyError("its numbers are not a valid key") from None


def _from_certificate(kid: str, pem: str) -> VerificationKey:
    return _verification_key(_certificate_key(pem.encode("utf-8")), kid, None)


def _from_pem(label: str, pem: bytes) -> VerificationKey:
    if "PRIVATE" in label:
        raise UnusableKeyError("it is a private key: use the public key")
    if label == "CERTIFICATE":
        return _verification_key(_certificate_key(pem), None, None)
    try:
        return _verification_key(load_pem_public_key(pem), None, None)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKeyError("it is not a PEM public key") from None


def _certificate_key(pem: bytes) -> Any:
    try:
        return x509.load_pem_x509_certificate(pem).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKeyError("it is not a certificate") from None


def _verification_key(key: Any, kid: str | None, declared: Any) -> VerificationKey:
    """Return a key that is strong enough, with the algorithms of its type."""
    algorithms: tuple[str, ...]
    if isinstance(key, RSAPublicKey):
        _check_rsa_key(key)
        algorithms = _RSA_ALGORITHMS
    elif isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVE_ALGORITHMS:
        algorithms = (_CURVE_ALGORITHMS[key.curve.name],)
    elif isinstance(key, Ed25519PublicKey):
        algorithms = ("EdDSA",)
    else:
        raise UnusableKeyError("its type or curve is not supported")
    if declared is not None:
        if declared not in algorithms:
            raise UnusableKeyError("`alg` is not supported or not of its type")
        algorithms = (declared,)
    return VerificationKey(kid, algorithms, key)


def _check_rsa_key(key: RSAPublicKey) -> None:
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise UnusableKeyError(f"an RSA key has {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits")
    exponent = key.public_numbers().e
    if exponent % 2 == 0 or not _MIN_RSA_EXPONENT <= exponent < _MAX_RSA_EXPONENT:
        raise UnusableKeyError("its RSA exponent is not an odd number from 65537 to 2**256")
