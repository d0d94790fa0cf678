"""One configured identity provider: its rules and its keys."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Refusal, StartupError
from tokensvc.core.user_ids import Alphabet
from tokensvc.issuers import discovery, rules
from tokensvc.issuers.jwks import Keys, RemoteKeys, StaticKeys
from tokensvc.issuers.keyset import KeySetError, parse_pem_file
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.verify import UnverifiedToken, VerifiedClaims, verify_signature
from tokensvc.net.fetch import Deadline, Fetcher
from tokensvc.net.urls import parse_key_url


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """What issuers need to get at their keys, the same for all of them."""

    fetcher: Fetcher
    settings: JwksSettings
    store: IssuerKeyStore
    wait_slots: threading.Semaphore
    clock: Clock


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    A provider.

    Attributes:
        name: As configured; `iss` is in `claim_rules`.
        clock_ahead: Seconds by which its clock may run ahead of ours.
    """

    name: str
    clock_ahead: int
    claim_rules: rules.ClaimRules
    keys: Keys

    @classmethod
    def of(cls, settings: IssuerSettings, alphabet: Alphabet, access: KeyAccess) -> "Issuer":
        """
        Make an issuer. Fetches nothing.

        Raises:
            StartupError: Its key file is unusable.
        """
        file = settings.public_keys_file
        keys = _published_keys(settings, access) if file is None else _keys_of(file, settings.name)
        return cls(
            settings.name, settings.clock_ahead, rules.ClaimRules.of(settings, alphabet), keys
        )

    def verify(self, unverified: UnverifiedToken, now: float) -> VerifiedClaims:
        """
        Check that this issuer signed the token.

        Raises:
            Refusal: `credentials_invalid` or `temporarily_unavailable`.
        """
        # Whatever key it names, an expired token gets nothing: it is not worth a fetch.
        expired = rules.is_expired(self.claim_rules, unverified.claims, now)
        keys = self.keys.find(unverified.kid, unverified.algorithm, may_fetch=not expired)
        try:
            return verify_signature(unverified, keys)
        except Refusal:
            # A key that the token does not name, or that has no name, was only a guess: after a
            # rotation the right one is not here yet, and no unknown `kid` tells.
            guessed = any(unverified.kid is None or key.kid is None for key in keys)
            if expired or not guessed:
                raise
        newer = self.keys.refetch_and_find(unverified.kid, unverified.algorithm, keys)
        return verify_signature(unverified, newer)


def _keys_of(file: Path, name: str) -> Keys:
    try:
        return StaticKeys(parse_pem_file(file.read_text("ascii")))
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
    except KeySetError as error:
        problem = str(error)
    raise StartupError(f"issuers: {name}: public_keys_file: {file} {problem}")


def _published_keys(settings: IssuerSettings, access: KeyAccess) -> Keys:
    source = settings.jwks_uri or discovery.metadata_url(settings.issuer)
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
        deadline = Deadline(access.settings.timeout)
        document = access.fetcher.get(source, deadline, loopback_allowed=True)
        if not settings.discovery:
            return document
        jwks_uri = discovery.jwks_uri_of(document, settings.issuer)
        # Only who is on this machine may send us to this machine.
        local = parse_key_url(source).is_loopback
        return access.fetcher.get(jwks_uri, deadline, loopback_allowed=local)

    return download
