"""All configured identity providers behind one call: a bearer token becomes a `UserCaller`."""

import threading
from collections.abc import Mapping, Sequence

import structlog

from tokensvc.core.callers import UserCaller
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.http.request_log import note
from tokensvc.issuers import rules
from tokensvc.issuers.explain import Finding, findings
from tokensvc.issuers.issuer import Issuer, KeyAccess
from tokensvc.issuers.jwks import KeyHealth
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.verify import UnverifiedToken, parse
from tokensvc.net.fetch import Fetcher

_log = structlog.get_logger()


class Issuers:
    """
    The identity providers whose users may have tokens.

    Args:
        settings: One for each provider.
        jwks: How keys are fetched and kept.
        alphabet: The characters of a user id.
        store: Keeps the last good keys.
        clock: Decides what has expired.
        places: Where requests wait for keys, whichever issuer's; without one it is 503 at once.

    Raises:
        StartupError: The key file of an issuer is unusable. An unreachable issuer is not an error.
    """

    def __init__(
        self,
        settings: Sequence[IssuerSettings],
        jwks: JwksSettings,
        alphabet: Alphabet,
        store: IssuerKeyStore,
        clock: Clock,
        *,
        wait_slots: threading.Semaphore,
    ) -> None:
        self._clock = clock
        self._by_issuer: dict[str, Issuer] = {}
        self._by_name: dict[str, Issuer] = {}
        access = KeyAccess(Fetcher(jwks.allowed_networks), jwks, store, wait_slots, clock)
        for one in settings:
            issuer = Issuer.of(one, alphabet, access)
            self._by_name[one.name] = self._by_issuer[one.issuer] = issuer

    def authenticate(self, unverified_token: str) -> UserCaller:
        """
        Verify a provider's token and give its user.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`, `user_id_invalid` or
                `temporarily_unavailable`.
        """
        now = self._clock()
        unverified = parse(unverified_token)
        issuer = self._claimed_issuer(unverified)
        try:
            return _authenticate(issuer, unverified, now)
        except Refusal:
            note(issuer=issuer.name)  # as configured: no text of the token gets into the log
            raise

    def explain(self, unverified_token: str) -> list[Finding]:
        """Make every check of `authenticate` and tell the outcome of each, for an operator."""
        return findings(unverified_token, self._claimed_issuer, self._clock())

    def health(self) -> Mapping[str, KeyHealth]:
        """Tell how the keys of each issuer are, by its configured name."""
        return {name: issuer.keys.health() for name, issuer in self._by_name.items()}

    def prepare(self) -> None:
        """Load the stored keys, and warn of issuers whose tokens do not tell the sign-in time."""
        for name, issuer in self._by_name.items():
            if issuer.claim_rules.sign_in_time == "iat":
                _log.warning(
                    "issuer_sign_in_time_missing",
                    issuer=name,
                    hint="its tokens do not contain the time of the sign-in: after a revocation, "
                    "a silent renewal at the provider passes; suspend the user instead",
                )
        self.load_stored_keys()

    def load_stored_keys(self) -> None:
        """Take up the last good keys of each issuer."""
        for issuer in self._by_name.values():
            issuer.keys.load()

    def refresh(self) -> None:
        """Fetch the keys of every issuer now, and wait for each."""
        for issuer in self._by_name.values():
            issuer.keys.refresh()

    def refresh_due(self) -> None:
        """Start each fetch that is due, without waiting for it."""
        for issuer in self._by_name.values():
            issuer.keys.refresh_if_due()

    def _claimed_issuer(self, unverified: UnverifiedToken) -> Issuer:
        issuer = self._by_issuer.get(unverified.issuer)
        if issuer is None:
            raise Refusal(
                Code.CREDENTIALS_INVALID,
                "The token's issuer (`iss`) is not one that this service accepts.",
                reason="unknown issuer",
            )
        return issuer


def _authenticate(issuer: Issuer, unverified: UnverifiedToken, now: float) -> UserCaller:
    rules.check_algorithm(issuer.claim_rules, unverified)
    rules.check_type(issuer.claim_rules, unverified)
    claims = issuer.verify(unverified, now)
    signed_in_at = rules.check_claims(issuer.claim_rules, claims, now)
    return UserCaller(
        user_id=rules.user_id(issuer.claim_rules, claims),
        issuer=issuer.name,
        signed_in_at=signed_in_at,
        clock_ahead=issuer.clock_ahead,
    )
