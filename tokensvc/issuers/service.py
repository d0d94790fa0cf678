"""All configured identity providers: a token becomes a `UserCaller`."""

from collections.abc import Mapping, Sequence

import structlog

from tokensvc.core.callers import UserCaller
from tokensvc.core.clock import Clock
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import Finding
from tokensvc.core.user_ids import Alphabet
from tokensvc.core.waiting import WaitSlots
from tokensvc.issuers.events import EventForm, ProviderEvent
from tokensvc.issuers.explain import findings
from tokensvc.issuers.issuer import Issuer, KeyAccess
from tokensvc.issuers.jwks import KeyHealth
from tokensvc.issuers.keyset import KeySet
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.verify import UnverifiedToken, parse
from tokensvc.telemetry import metrics

_log = structlog.get_logger()


class Issuers:
    """
    The identity providers whose users can get tokens.

    Args:
        settings: Settings of each provider, with unique names and issuers.
        jwks: Settings of the key cache.
        alphabet: Characters of a user ID.
        store: Stores the last valid keys.
        key_files: Keys of the issuers that have a key file, as `read_issuer_keys` returns them.
        wait_slots: Slots for requests that wait; requests without one get 503 immediately.
    """

    def __init__(
        self,
        settings: Sequence[IssuerSettings],
        jwks: JwksSettings,
        alphabet: Alphabet,
        store: IssuerKeyStore,
        clock: Clock,
        *,
        key_files: Mapping[str, KeySet],
        wait_slots: WaitSlots,
    ) -> None:
        self._clock = clock
        self._by_issuer: dict[str, Issuer] = {}
        self._by_name: dict[str, Issuer] = {}
        access = KeyAccess(key_files, jwks, store, wait_slots, clock)
        for issuer_settings in settings:
            issuer = Issuer.of(issuer_settings, alphabet, access)
            self._by_name[issuer_settings.name] = issuer
            self._by_issuer[issuer_settings.issuer] = issuer

    def authenticate(self, unverified: UnverifiedToken) -> UserCaller:
        """
        Verify a provider's parsed token and return its user.

        Raises:
            Refusal: `credentials_invalid`, `credentials_expired`, `user_id_invalid` or
                `temporarily_unavailable`.
        """
        now = self._clock()
        issuer = self._claimed_issuer(unverified)
        try:
            return issuer.authenticate(unverified, now)
        except Refusal:
            log_fields(
                issuer=issuer.settings.name
            )  # the configured name: nothing of the token is logged
            raise

    def event(self, name: str, form: EventForm, unverified_token: str) -> ProviderEvent | None:
        """
        Verify an event that was sent to an issuer's path; return `None` if it has no effect.

        Args:
            name: Configured name of the issuer.

        Raises:
            Refusal: `malformed_request`; `not_found` if no such issuer accepts events;
                `temporarily_unavailable` if the issuer's keys are unavailable.
        """
        issuer = self._by_name.get(name)
        if issuer is None or issuer.settings.events is None:
            raise Refusal(Code.NOT_FOUND, "No issuer with this name accepts events.")
        log_fields(issuer=name)
        try:
            return issuer.event(parse(unverified_token, expires=False), form, self._clock())
        except Refusal as refusal:
            if refusal.code is Code.TEMPORARILY_UNAVAILABLE:
                raise
            metrics.count_auth_failure("event")
            # An event is no credential: each specification answers 400.
            raise Refusal(
                Code.MALFORMED_REQUEST, refusal.detail, reason=refusal.reason
            ) from refusal

    def explain(self, unverified_token: str) -> dict[str, Finding]:
        """Run every check of `authenticate` and return each result, for an operator."""
        return findings(unverified_token, self._claimed_issuer, self._clock())

    def health(self) -> Mapping[str, KeyHealth]:
        """Return the health of each issuer's keys, by its configured name."""
        return {name: issuer.keys.health() for name, issuer in self._by_name.items()}

    def prepare(self) -> None:
        """Load the stored keys, and warn of issuers whose tokens have no sign-in time."""
        for name, issuer in self._by_name.items():
            if issuer.settings.sign_in_time == "iat":
                _log.warning(
                    "issuer_sign_in_time_missing",
                    issuer=name,
                    detail="Its tokens do not contain the time of the sign-in: after a revocation, "
                    "a silent renewal at the provider passes.",
                    hint="Suspend the user instead, or set `sign_in_time` of the issuer.",
                )
        self.load_stored_keys()

    def load_stored_keys(self) -> None:
        """Load the last valid keys of each issuer."""
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
