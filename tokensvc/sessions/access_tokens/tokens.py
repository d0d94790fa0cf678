"""
Access tokens: JWTs of the type `at+jwt` (RFC 9068), signed with ES256.

Owns their claims, which are the same struct when a token is minted and when it is verified. A token
of a user and one of a service differ in `token_use`, which decides before any other claim is read:
the `sub` of a service is never taken for a user. Whether the session, the client or the secret
still exists is decided by the caller, from the database.
"""

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from tokensvc.core.errors import Code, Refusal, invalid_credential
from tokensvc.issuers.keyset import ALGORITHMS, VerificationKey
from tokensvc.issuers.verify import UnverifiedToken, verify_signature
from tokensvc.sessions.access_tokens.signing_keys import ALGORITHM, SigningKeyRing, SigningKeys
from tokensvc.sessions.rules import Family, expires_at
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.rules import RingVersion

TYPE: Final = "at+jwt"
"""The `typ` of the header (RFC 9068 section 2.1)."""

_ID_BYTES = 16


class _Claims(msgspec.Struct, frozen=True, tag_field="token_use", kw_only=True):
    """
    The claims of every access token (RFC 9068 section 2.2).

    Attributes:
        iss: URL of this service.
        aud: The same URL.
        sub: ID of the user, or of the service client.
        client_id: Client that requested the token.
        iat: Time of the issue, in epoch seconds.
        exp: Time of the expiry, in epoch seconds.
        jti: Random ID of the token.
    """

    iss: str
    aud: str
    sub: str
    client_id: str
    iat: int
    exp: int
    jti: str


class UserClaims(_Claims, frozen=True, tag="user", kw_only=True):
    """
    The claims of a user's token.

    Attributes:
        auth_time: Time of the sign-in, in epoch seconds.
        sid: ID of the session.
    """

    auth_time: int
    sid: str


class ServiceClaims(_Claims, frozen=True, tag="service", kw_only=True):
    """
    The claims of a service's token.

    Attributes:
        scope: Scopes, separated by spaces.
        secret_id: ID of the client secret that the service used.
    """

    scope: str
    secret_id: str

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the token, of which the client may have lost some since."""
        return frozenset(self.scope.split())


AccessClaims: TypeAlias = UserClaims | ServiceClaims


@dataclass(frozen=True, slots=True)
class MintedAccessToken:
    """
    A signed token.

    Attributes:
        expires_in: Seconds for which it is valid.
    """

    token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """
    A verified token.

    Attributes:
        ring_version: Version of the key ring that verified it.
    """

    claims: AccessClaims
    ring_version: RingVersion
    _unverified: UnverifiedToken = field(repr=False)

    def check_not_expired(self, now: float) -> None:
        """
        Refuse an expired token.

        Args:
            now: Epoch seconds of the database's clock, which has dated the token.

        Raises:
            Refusal: `credentials_expired`.
        """
        if self.claims.exp <= now:
            raise Refusal(
                Code.CREDENTIALS_EXPIRED,
                "The access token has expired: refresh it.",
                reason="expired",
                owner=self.claims.sub,
            )


class AccessTokens:
    """
    Mints and verifies access tokens.

    Args:
        keys: Keys that sign and verify.
        issuer: URL of this service, the `iss` and `aud` of every token.
        settings: Lifetimes.

    Attributes:
        issuer: The same URL, by which a caller tells these tokens from those of providers.
    """

    def __init__(self, keys: SigningKeys, issuer: str, settings: SessionSettings) -> None:
        self.issuer = issuer
        self._keys = keys
        self._settings = settings

    def check_can_sign(self, ring_version: RingVersion) -> None:
        """
        Check that this process can sign, before a change that needs a token in its response.

        Args:
            ring_version: Version of the ring of signing keys, as just read.

        Raises:
            Refusal: `temporarily_unavailable`: this process has no key to sign with.
        """
        self._keys.signing_key(ring_version)

    def mint_for_user(
        self, family: Family, *, now: float, ring_version: RingVersion
    ) -> MintedAccessToken:
        """
        Return a token of a session, which ends with the session at the latest.

        Args:
            now: Epoch seconds of the database's clock.
            ring_version: Version of the ring of signing keys, as just read.

        Raises:
            Refusal: `temporarily_unavailable`: this process has no key to sign with.
        """
        times = self._times(now, expires_at(family, self._settings))
        claims = UserClaims(
            iss=self.issuer,
            aud=self.issuer,
            sub=family.user_id,
            client_id=family.client_id,
            jti=secrets.token_urlsafe(_ID_BYTES),
            auth_time=int(family.created_at),
            sid=family.id,
            **times,
        )
        return self._sign(claims, ring_version)

    def mint_for_service(
        self,
        client_id: str,
        secret_id: str,
        scopes: frozenset[str],
        *,
        ends_at: int | None,
        now: float,
        ring_version: RingVersion,
    ) -> MintedAccessToken:
        """
        Return a token of a service client.

        Args:
            secret_id: ID of the secret that it used.
            scopes: Scopes of the token.
            ends_at: Time when the secret expires, in epoch seconds, if it does.
            now: Epoch seconds of the database's clock.
            ring_version: Version of the ring of signing keys, as just read.

        Raises:
            Refusal: `temporarily_unavailable`: this process has no key to sign with.
        """
        claims = ServiceClaims(
            iss=self.issuer,
            aud=self.issuer,
            sub=client_id,
            client_id=client_id,
            jti=secrets.token_urlsafe(_ID_BYTES),
            scope=" ".join(sorted(scopes)),
            secret_id=secret_id,
            **self._times(now, ends_at),
        )
        return self._sign(claims, ring_version)

    def verify(self, unverified: UnverifiedToken) -> AccessToken:
        """
        Verify a parsed token, except for its expiry: see `AccessToken.check_not_expired`.

        A key that is not loaded yet is read from the database. Any other text costs no read.

        Raises:
            Refusal: `credentials_invalid`.
        """
        if unverified.issuer != self.issuer:
            raise invalid_credential("The access token is not for this service.", "issuer")
        if unverified.typ != TYPE or unverified.algorithm != ALGORITHM or unverified.kid is None:
            raise invalid_credential("The token is not an access token of this service.", "type")
        ring = self._keys.ring_with(unverified.kid)
        _check_signature(unverified, unverified.kid, ring)
        return AccessToken(self._claims(unverified), ring.version, unverified)

    def verify_again(self, token: AccessToken, ring_version: RingVersion) -> None:
        """
        Verify the signature again if the key ring has changed.

        Args:
            token: Token that was verified before the database was read.
            ring_version: Version of the ring of signing keys, read with the standing: after the
                response to a retirement it is another one.

        Raises:
            Refusal: `credentials_invalid`.
        """
        if token.ring_version != ring_version:
            unverified = token._unverified  # noqa: SLF001 - of this module
            _check_signature(unverified, unverified.kid or "", self._keys.ring_at(ring_version))

    def _times(self, now: float, ends_at: float | None) -> dict[str, int]:
        issued_at = int(now)
        ends = issued_at + self._settings.access_ttl
        return {"iat": issued_at, "exp": ends if ends_at is None else min(ends, int(ends_at))}

    def _sign(self, claims: AccessClaims, ring_version: RingVersion) -> MintedAccessToken:
        key = self._keys.signing_key(ring_version)
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
        # `jwt.encode` takes longer than the signature itself.
        signing_input = _segment(msgspec.json.encode(header)) + b"."
        signing_input += _segment(msgspec.json.encode(claims))
        signature = ALGORITHMS[ALGORITHM].sign(signing_input, key.private)
        token = signing_input + b"." + _segment(signature)
        return MintedAccessToken(token.decode("ascii"), claims.exp - claims.iat)

    def _claims(self, unverified: UnverifiedToken) -> AccessClaims:
        try:
            claims: AccessClaims = msgspec.convert(unverified.claims, AccessClaims)
        except msgspec.ValidationError:
            raise invalid_credential(
                "The access token's claims are not complete.", "claims"
            ) from None
        if claims.aud != self.issuer:
            raise invalid_credential("The access token is not for this service.", "audience")
        return claims


def _segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _check_signature(unverified: UnverifiedToken, kid: str, ring: SigningKeyRing) -> None:
    key = ring.keys.get(kid)
    if key is None:
        raise invalid_credential(
            "The access token's key is unknown or retired: refresh the token.", "kid"
        )
    verify_signature(unverified, [VerificationKey(kid, (ALGORITHM,), key.public)])
