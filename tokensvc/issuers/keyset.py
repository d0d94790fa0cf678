"""
Keys that verify: a published set, or a file, becomes keys by id and algorithm.

Owns which keys may be used at all (RFC 7517, RFC 8725 section 3.5): public, asymmetric, for
signatures, strong enough, and each only with the algorithms of its own kind. A key that fails is
left out, so that one odd key of a provider does not take the others along.
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
"""How many keys a token without `kid` may be tried with: each costs a verification."""

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
_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], object]]] = {
    "RSA": (("n", "e"), RSAAlgorithm.from_jwk),
    "EC": (("crv", "x", "y"), ECAlgorithm.from_jwk),
    "OKP": (("crv", "x"), OKPAlgorithm.from_jwk),
}
"""The members of each kind of public key, and what builds it (RFC 7518 section 6, RFC 8037)."""
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class KeySetError(Exception):
    """The text is no set of keys. Says why, without quoting it."""


class UnusableKeyError(Exception):
    """One key must not be used. Says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """
    A public key with the algorithms that it may be used with.

    Attributes:
        kid: The id that tokens name it by; `None` in a file.
        algorithms: Those of its kind, or the one that its owner declared.
    """

    kid: str | None
    algorithms: tuple[str, ...]
    key: PublicKey = field(repr=False)

    def verifies(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Tell whether the signature is this key's."""
        return ALGORITHMS[algorithm].verify(signing_input, self.key, signature)


class KeySet:
    """
    Keys, found by id and algorithm in one look-up.

    Args:
        keys: Those that may be used.
        ignored: Why others may not, for the operator.
    """

    __slots__ = ("_by_kid", "_without_kid", "ignored", "size")

    def __init__(self, keys: Iterable[VerificationKey], ignored: Iterable[str] = ()) -> None:
        self.size = 0
        self.ignored = tuple(ignored)
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
        Give the keys that a token may be signed with, usually one.

        A token without `kid` may be signed with any key of the algorithm, and a key without one
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
    Read a fetched set: a JWK Set (RFC 7517 section 5), or Google's object of certificates by id.

    Raises:
        KeySetError: The document is neither, or has more than 64 keys.
    """
    try:
        content = json.loads(document.decode("utf-8"))
    except (ValueError, RecursionError):
        raise KeySetError("the document is no JSON") from None
    if not isinstance(content, dict):
        raise KeySetError("the document is no JSON object")
    if isinstance(content.get("keys"), list):
        entries = [(_jwk_name(jwk), jwk) for jwk in content["keys"]]
        return _collect(entries, _from_jwk)
    if content and all(
        isinstance(pem, str) and pem.startswith("-----BEGIN CERTIFICATE-----")
        for pem in content.values()
    ):
        return _collect(list(content.items()), _from_certificate)
    raise KeySetError("the document holds neither `keys` nor certificates")


def parse_pem_file(text: str) -> KeySet:
    """
    Read an operator's file of PEM public keys or certificates.

    Raises:
        KeySetError: Any block is unusable: here, unlike in a set of a provider, it is a mistake.
    """
    blocks = list(_PEM_BLOCK.finditer(text))
    if not blocks:
        raise KeySetError("holds no PEM block")
    if len(blocks) > MAX_KEYS_WITHOUT_ID:
        raise KeySetError(f"holds more than {MAX_KEYS_WITHOUT_ID} keys")
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
        raise KeySetError(f"the set holds more than {MAX_KEYS} keys")
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
        raise UnusableKeyError("no JSON object")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKeyError("`kid` is no text")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKeyError("`use` is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKeyError("`key_ops` lacks verify")
    return _verification_key(_public_key(jwk), kid, jwk.get("alg"))


def _public_key(jwk: dict[str, Any]) -> Any:
    """Build the key of a JWK from its public members only, whatever else it holds."""
    kind = _KINDS.get(str(jwk.get("kty")))
    if kind is None:
        raise UnusableKeyError(f"`kty` is none of {', '.join(_KINDS)}")
    if "d" in jwk:
        raise UnusableKeyError("it is a private key, which was published")
    members, build = kind
    values = {name: jwk.get(name) for name in members}
    if not all(isinstance(value, str) for value in values.values()):
        raise UnusableKeyError("its numbers are no text")
    try:
        return build({"kty": jwk["kty"], **values})
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError):
        raise UnusableKeyError("its numbers make no key") from None


def _from_certificate(kid: str, pem: str) -> VerificationKey:
    return _verification_key(_certificate_key(pem.encode("utf-8")), kid, None)


def _from_pem(label: str, pem: bytes) -> VerificationKey:
    if "PRIVATE" in label:
        raise UnusableKeyError("it is a private key: this file takes public keys only")
    if label == "CERTIFICATE":
        return _verification_key(_certificate_key(pem), None, None)
    try:
        return _verification_key(load_pem_public_key(pem), None, None)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKeyError("it is no PEM public key") from None


def _certificate_key(pem: bytes) -> Any:
    try:
        return x509.load_pem_x509_certificate(pem).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKeyError("it is no certificate") from None


def _verification_key(key: Any, kid: str | None, declared: Any) -> VerificationKey:
    """Let a key through that is strong enough, with the algorithms of its kind."""
    algorithms: tuple[str, ...]
    if isinstance(key, RSAPublicKey):
        _check_rsa_key(key)
        algorithms = _RSA_ALGORITHMS
    elif isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVE_ALGORITHMS:
        algorithms = (_CURVE_ALGORITHMS[key.curve.name],)
    elif isinstance(key, Ed25519PublicKey):
        algorithms = ("EdDSA",)
    else:
        raise UnusableKeyError("its kind or curve is not supported")
    if declared is not None:
        if declared not in algorithms:
            raise UnusableKeyError("`alg` is not supported or not of its kind")
        algorithms = (declared,)
    return VerificationKey(kid, algorithms, key)


def _check_rsa_key(key: RSAPublicKey) -> None:
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise UnusableKeyError(f"an RSA key has {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits")
    exponent = key.public_numbers().e
    if exponent % 2 == 0 or not _MIN_RSA_EXPONENT <= exponent < _MAX_RSA_EXPONENT:
        raise UnusableKeyError("its RSA exponent is odd and at least 65537 in every sound key")
