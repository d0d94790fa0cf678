"""Figures for the metrics that no request counts: what waits, and how old keys are."""

import math
from collections import defaultdict
from collections.abc import Mapping

from tokensvc.clients.service import Clients
from tokensvc.core.clock import Clock
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import JwksSettings
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.states import KeyState
from tokensvc.telemetry import gauges
from tokensvc.vault.reencryption import Reencryption

_LIVE_STATES = [state for state in KeyState if state is not KeyState.RETIRED]


class MetricsCollector:
    """
    Reads the figures and sets the gauges.

    Args:
        issuers: Issuers whose keys this process fetches; `None` if it fetches none.
        jwks: Settings of issuers' keys.
        rings: Key rings by their name in the metrics.
        reencryption: Source of the encryption keys that are in use.
        clock: Clock of this host, in epoch seconds.
    """

    def __init__(
        self,
        *,
        issuers: Issuers | None,
        jwks: JwksSettings,
        deliveries: Deliveries,
        rings: Mapping[str, StreamKeys | SigningKeys],
        clients: Clients,
        reencryption: Reencryption,
        clock: Clock,
    ) -> None:
        self._issuers = issuers
        self._jwks = jwks
        self._deliveries = deliveries
        self._rings = rings
        self._clients = clients
        self._reencryption = reencryption
        self._clock = clock
        self._encryption_keys: set[str] = set()

    def step(self) -> None:
        """Read all figures once. If the database fails, those that do not need it are set."""
        self._set_issuer_keys()
        for waiting in self._deliveries.waiting():
            gauges.set_deliveries(waiting.kind, waiting.numbers, waiting.oldest_seconds)
        self._set_keys()
        self._set_encryption_keys()
        end = self._clients.earliest_expiry()
        left = math.inf if end is None else end - self._clock()
        gauges.set_client_secret_seconds_left(left)

    def _set_issuer_keys(self) -> None:
        if self._issuers is None:
            return
        for name, health in self._issuers.health().items():
            fetched_at = health.fetched_at
            gauges.set_issuer_keys(
                name,
                usable=health.state != "unavailable",
                age_seconds=None if fetched_at is None else max(0, self._clock() - fetched_at),
                max_stale_seconds=self._jwks.max_stale,
                refresh_seconds=self._jwks.refresh,
            )

    def _set_keys(self) -> None:
        now = self._clock()
        for name, ring in self._rings.items():
            times: defaultdict[KeyState, list[int]] = defaultdict(list)
            for key in ring.live_keys():
                times[key.state].append(key.activated_at or key.created_at)
            for state in _LIVE_STATES:
                oldest = min(times[state], default=now)
                gauges.set_keys(name, state, len(times[state]), max(0, now - oldest))

    def _set_encryption_keys(self) -> None:
        in_use = self._reencryption.keys_in_use()
        # One that was replaced stays in the metrics, as not in use.
        self._encryption_keys |= in_use.keys()
        for key in self._encryption_keys:
            is_missing = not in_use.get(key, True)
            gauges.set_encryption_key(key, in_use=key in in_use, missing=is_missing)
