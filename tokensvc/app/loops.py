"""The table of all background loops: what each does, how often, and in which process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Final, TypeAlias

from tokensvc.accounts import store as accounts
from tokensvc.app.background import BackgroundLoop
from tokensvc.app.services import AccountServices, Services
from tokensvc.audit import store as audit
from tokensvc.database.deletion import Purge, purge_step
from tokensvc.database.engine import Transaction
from tokensvc.database.lease import RENEWAL_SECONDS
from tokensvc.ops.health import PROBE_INTERVAL
from tokensvc.revocations import store as revocations
from tokensvc.revocations.events import store as provider_events
from tokensvc.sessions import store as sessions
from tokensvc.stream.delivery.wake_up import SENDER_WAKE_UP

ACTIVE_KEY_INTERVAL: Final = 60.0
"""Seconds until the loop sees again whether a check of the active key is due."""

_PURGE_INTERVAL = 3600.0
"""Seconds between two purges of the same rows."""

_PURGE_PAUSE = 0.05
"""Seconds between two full batches of a purge, for the requests that write."""

_USAGE_INTERVAL = 60.0
"""Seconds between two writes of usage, which a crash loses."""

Step: TypeAlias = Callable[[], bool | None]


class ProcessKind(Enum):
    """Kind of process: one that serves requests, or `tokensvc worker`, which only delivers."""

    SERVICE = auto()
    WORKER = auto()


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """
    A row of the table.

    Attributes:
        name: Name of the thread, and of the loop in the log and the metrics.
        step: Function that returns the step; `None` if these services do not need the loop.
        interval: Seconds between two steps.
        pause: Seconds before the next step if there is more to do.
        steps_on_stop: Whether a stop runs the step once more.
        wake_up: Function that returns the event that ends a pause.
        roles: Processes that run the loop.
    """

    name: str
    step: Callable[[Services], Step | None]
    interval: float
    pause: float = 0.0
    steps_on_stop: bool = False
    wake_up: Callable[[Services], threading.Event] | None = None
    roles: tuple[ProcessKind, ...] = (ProcessKind.SERVICE,)

    def build(self, services: Services) -> BackgroundLoop | None:
        """Return the loop with these services; `None` if they do not need it."""
        step = self.step(services)
        if step is None:
            return None
        return BackgroundLoop(
            self.name,
            step,
            self.interval,
            pause=self.pause,
            steps_on_stop=self.steps_on_stop,
            wake_up=self.wake_up(services) if self.wake_up is not None else None,
        )


def _embedded_delivery(services: Services) -> Step | None:
    is_embedded = services.stream.deliveries.is_delivery_on and services.settings.worker.embedded
    return services.stream.sender.step if is_embedded else None


def _of_accounts(step: Callable[[AccountServices], Step]) -> Callable[[Services], Step | None]:
    """Return the function of a step that only built-in accounts need."""
    return lambda services: step(services.accounts) if services.accounts is not None else None


def _purge(name: str, purge_of: Callable[[Services], Purge | None]) -> LoopSpec:
    def step_of(services: Services) -> Step | None:
        purge = purge_of(services)
        return purge and partial(purge_step, services.database, services.database_clock, purge)

    return LoopSpec(name, step_of, _PURGE_INTERVAL, pause=_PURGE_PAUSE)


def _revocation_purge(services: Services) -> Purge:
    retention = services.settings.audit.retention

    def purge(tx: Transaction, now: float, limit: int) -> int:
        deleted = revocations.purge(tx, now, limit, retention=retention)
        return max(deleted, provider_events.purge(tx, now, limit))

    return purge


_BOTH = (ProcessKind.SERVICE, ProcessKind.WORKER)

LOOPS: Final = (
    # Its own changes wake the sender; each second it looks for those of other processes.
    LoopSpec("delivery", _embedded_delivery, 1.0, wake_up=lambda _: SENDER_WAKE_UP),
    # Often, because no event of this process wakes it: other processes make all changes.
    LoopSpec("delivery", lambda s: s.stream.sender.step, 0.2, roles=(ProcessKind.WORKER,)),
    LoopSpec("secret_usage", lambda s: s.secret_uses.write, _USAGE_INTERVAL, steps_on_stop=True),
    LoopSpec(
        "unnamed_mints", lambda s: s.stream.unnamed_mints.write, _USAGE_INTERVAL, steps_on_stop=True
    ),
    # For actions that a crash left unconfirmed.
    LoopSpec("confirmation", lambda s: s.revocations.confirm_remaining, 5.0),
    LoopSpec(
        "active_key",
        lambda s: s.stream.active_key_check.step,
        ACTIVE_KEY_INTERVAL,
        wake_up=lambda s: s.stream.active_key_check.wake_up,
        roles=_BOTH,
    ),
    _purge("audit_purge", lambda s: partial(audit.purge, retention=s.settings.audit.retention)),
    _purge("revocation_purge", _revocation_purge),
    _purge("session_purge", lambda s: partial(sessions.purge, settings=s.settings.sessions)),
    _purge("account_purge", lambda s: accounts.purge if s.accounts is not None else None),
    # Whether a signing key is to be made, activated or retired.
    LoopSpec("signing_keys", _of_accounts(lambda a: a.signing_rotation.step), 1.0),
    # Often, because a clock can be set, or a host can sleep.
    LoopSpec("issuer_keys", lambda s: s.issuers.refresh_due, 1.0),
    # So that mints work soon after a promotion, though the previous primary accepts connections.
    LoopSpec("database_servers", lambda s: s.database.look, 2.0, roles=_BOTH),
    LoopSpec(
        "database_lease",
        lambda s: s.database.renew_lease if s.database.has_lease else None,
        RENEWAL_SECONDS,
        roles=_BOTH,
    ),
    LoopSpec("figures", lambda s: s.operations.collect_metrics, 15.0, roles=_BOTH),
    LoopSpec("readiness", lambda s: s.operations.readiness.probe, PROBE_INTERVAL, roles=_BOTH),
)
"""All loops, in the order in which they start and stop."""

MAX_LOOPS: Final = max(sum(role in loop.roles for loop in LOOPS) for role in ProcessKind)
"""Maximum number of loops in a process. Each needs a database connection."""
