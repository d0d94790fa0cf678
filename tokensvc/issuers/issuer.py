"""
One configured identity provider: its settings and its keys.

It finds the URL of the keys in the metadata of OpenID Connect Discovery 1.0.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tokensvc.core.callers import UserCaller
from tokensvc.core.clock import Clock
from tokensvc.core.deadline import Deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.core.waiting import WaitSlots
from tokensvc.issuers import events, rules
from tokensvc.issuers.events import EventForm, ProviderEvent
from tokensvc.issuers.jwks import Keys, RemoteKeys, StaticKeys
from tokensvc.issuers.keyset import KeySet
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.verify import UnverifiedToken, VerifiedClaims, verify_signature
from tokensvc.net.addresses import is_loopback_url
from tokensvc.net.fetch import FetchError, fetch


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """
    What all issuers share to get their keys.

    Attributes:
        files: Keys of the issuers that have a key file, by name.
    """

    files: Mapping[str, KeySet]
    settings: JwksSettings
    store: IssuerKeyStore
    wait_slots: WaitSlots
    clock: Clock


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    An identity provider.

    Attributes:
        settings: Its settings, which the checks of claims read.
        alphabet: Characters of a user ID.
        keys: Keys that verify its tokens.
    """

    settings: IssuerSettings
    alphabet: Alphabet
    keys: Keys

    @classmethod
    def of(cls, settings: IssuerSettings, alphabet: Alphabet, access: KeyAccess) -> "Issuer":
        """Return the issuer. Fetches nothing."""
        keys: Keys
        if settings.public_keys_file is not None:
            keys = StaticKeys(access.files[settings.name])
        else:
            keys = _published_keys(settings, access)
        return cls(settings, alphabet, keys)

    def authenticate(self, unverified: UnverifiedToken, now: float) -> UserCaller:
        """
        Verify a token of this issuer and return its user.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`, `user_id_invalid` or
                `temporarily_unavailable`.
        """
        rules.check_algorithm(self.settings, unverified)
        rules.check_type(self.settings, unverified)
        claims = self.verify(unverified, now)
        try:
            signed_in_at = rules.check_claims(self.settings, claims, now)
            user_id = rules.user_id(self.settings, claims, self.alphabet)
        except Refusal as refusal:
            if refusal.code is not Code.CREDENTIALS_INVALID:
                refusal.owner = rules.owner(self.settings, claims, self.alphabet)
            raise
        return UserCaller(
            user_id=user_id,
            issuer=self.settings.name,
            signed_in_at=signed_in_at,
            clock_ahead=self.settings.clock_ahead,
            provider_session=events.session_key(self.settings, user_id, claims),
        )

    def event(
        self, unverified: UnverifiedToken, form: EventForm, now: float
    ) -> ProviderEvent | None:
        """
        Verify an event of this issuer; return `None` if nothing follows from it.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`, `user_id_invalid` or
                `temporarily_unavailable`.
        """
        events.check_form(self.settings, unverified, form)
        rules.check_algorithm(self.settings, unverified)
        claims = self.verify(unverified, now, sender_repeats=True)
        events.check_claims(self.settings, claims, form, now)
        return events.event_of(self.settings, claims, form, self.alphabet, now)

    def verify(
        self, unverified: UnverifiedToken, now: float, *, sender_repeats: bool = False
    ) -> VerifiedClaims:
        """
        Check that this issuer signed the token.

        Args:
            sender_repeats: Whether the sender repeats a request that gets 503, and no other.

        Raises:
            Refusal: `credentials_invalid` or `temporarily_unavailable`.
        """
        # An expired token is refused with any key, so it causes no fetch.
        claims = unverified.claims  # an event may have no `exp`
        expired = "exp" in claims and rules.is_expired(self.settings, claims, now)
        name = unverified.kid, unverified.algorithm
        keys = self.keys.find(name, may_fetch=not expired, sender_repeats=sender_repeats)
        try:
            return verify_signature(unverified, keys)
        except Refusal:
            # If the token or a key has no `kid`, the keys above were a guess. After a rotation the
            # right key may be missing, and no unknown `kid` shows that: fetch again.
            guessed = any(unverified.kid is None or key.kid is None for key in keys)
            if expired or not guessed:
                raise
        newer = self.keys.refetch_and_find(name, keys, sender_repeats=sender_repeats)
        return verify_signature(unverified, newer)


def _published_keys(settings: IssuerSettings, access: KeyAccess) -> Keys:
    source = settings.jwks_uri or metadata_url(settings.issuer)
    return RemoteKeys(
        name=settings.name,
        issuer=settings.issuer,
        source=source,
        download=_download(settings, source, access),
        store=access.store,
        settings=access.settings,
        wait_slots=access.wait_slots,
        clock=access.clock,
    )


def _download(settings: IssuerSettings, source: str, access: KeyAccess) -> Callable[[], bytes]:
    def download() -> bytes:
        get = partial(
            fetch,
            deadline=Deadline(access.settings.timeout),
            allowed_networks=access.settings.allowed_networks,
        )
        document = get(source, loopback_allowed=True)
        if not settings.discovery:
            return document
        jwks_uri = _jwks_uri_of(document, settings.issuer)
        # Only metadata from this machine may name a key URL on this machine.
        return get(jwks_uri, loopback_allowed=is_loopback_url(source))

    return download


def metadata_url(issuer: str) -> str:
    """Return the URL of an issuer's metadata (section 4: without a final slash)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def _jwks_uri_of(metadata: bytes, issuer: str) -> str:
    """
    Return the URL of the keys in the metadata.

    Raises:
        FetchError: The document is not metadata, or is of another issuer. Section 4.3 requires
            equality; otherwise one tenant of a provider could impersonate another.
    """
    try:
        content = json.loads(metadata.decode("utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("jwks_uri"), str):
        raise FetchError("the metadata has no jwks_uri")
    if content.get("issuer") != issuer:
        raise FetchError("the metadata is of another issuer: `issuer` must be equal")
    jwks_uri: str = content["jwks_uri"]
    return jwks_uri
