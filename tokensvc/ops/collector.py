"""Figures for the metrics that no request counts: what waits, and how old keys are."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tokensvc.clients.service import Clients
from tokensvc.core.clock import Clock
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import JwksSettings
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.states import KeyInfo, KeyState
from tokensvc.telemetry import gauges
from tokensvc.vault.reencryption import Reencryption

_UNRETIRED = [state for state in KeyState if state is not KeyState.RETIRED]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSources:
    """
    What the figures are read from.

    Attributes:
        issuers: Issuers whose keys this process fetches; `None` if it fetches none.
        jwks: Settings of issuers' keys.
        signing_keys: Keys that sign access tokens; `None` without built-in accounts.
        reencryption: Source of the encryption keys that are in use.
        clock: Clock of this host, in epoch seconds.
        encryption_keys: Fingerprints of all encryption keys that were in use since the start.
    """

    issuers: Issuers | None
    jwks: JwksSettings
    deliveries: Deliveries
    stream_keys: StreamKeys
    signing_keys: SigningKeys | None
    clients: Clients
    reencryption: Reencryption
    clock: Clock
    encryption_keys: set[str] = field(default_factory=set)


def collect(sources: MetricSources) -> None:
    """Read all figures once. If the database fails, those that do not need it are set."""
    if sources.issuers is not None:
        _set_issuer_keys(sources.issuers, sources.jwks, sources.clock())
    for waiting in sources.deliveries.waiting():
        gauges.set_deliveries(waiting.kind, waiting.numbers, waiting.oldest_seconds)
    for name, ring in (("stream", sources.stream_keys), ("signing", sources.signing_keys)):
        if ring is not None:
            _set_keys(name, ring.unretired_keys(), sources.clock())
    _set_encryption_keys(sources.reencryption.keys_in_use(), sources.encryption_keys)
    end = sources.clients.earliest_expiry()
    left = math.inf if end is None else end - sources.clock()
    gauges.set_client_secret_seconds_left(left)


def _set_issuer_keys(issuers: Issuers, jwks: JwksSettings, now: float) -> None:
    for name, health in issuers.health().items():
        fetched_at = health.fetched_at
        gauges.set_issuer_keys(
            name,
            usable=health.state != "unavailable",
            age_seconds=None if fetched_at is None else max(0, now - fetched_at),
            max_stale_seconds=jwks.max_stale,
            refresh_seconds=jwks.refresh,
        )


def _set_keys(ring: str, keys: Iterable[KeyInfo], now: float) -> None:
    times: defaultdict[KeyState, list[int]] = defaultdict(list)
    for key in keys:
        times[key.state].append(key.activated_at or key.created_at)
    for state in _UNRETIRED:
        oldest = min(times[state], default=now)
        gauges.set_keys(ring, state, len(times[state]), max(0, now - oldest))


def _set_encryption_keys(in_use: Mapping[str, bool], known: set[str]) -> None:
    # One that was replaced stays in the metrics, as not in use.
    known.update(in_use)
    for key in known:
        is_missing = not in_use.get(key, True)
        gauges.set_encryption_key(key, in_use=key in in_use, missing=is_missing)
