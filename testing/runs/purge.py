"""
A purge of ended sessions does not delay mints.

The service is loaded twice at the same rate: without ended sessions, and while it deletes many of
them after its start.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from testing.doubles.issuer import IssuerDouble
from testing.runs.preparation import database_settings, temporary_folder
from testing.runs.steady_load import Credentials, Ledger, SteadyClient
from testing.service import NO_LIMITS, STREAM_API_KEY, running_service
from testing.waiting import wait_until
from tokensvc.database.engine import Database
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.sessions.tables import sessions as sessions_table

CLIENTS = 16
INTERVAL = 0.1
"""Seconds between two requests of a client."""

_FACTOR = 2.0
"""Most by which the 99th percentile may grow."""
_POLL = 5.0
"""Seconds between two counts of all rows, which cost time of the database."""
_WARM_UP = 3.0
"""Seconds after a start whose requests are not counted: the first ones of a process take longer."""
_LONGEST = 1800.0

_INSERT = sa.text("""
WITH RECURSIVE numbers(i) AS (
    SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM numbers WHERE i < :count
)
INSERT INTO sessions (
    id, user_id, client_id, created_at, last_used_at, user_epoch, app_epoch, ended_at,
    family_key_ciphertext, wrapped_by
)
SELECT
    -- Not in the order of their ends, as random IDs are.
    (i * 7919) % 1000003 || '-' || i, 'user-' || i % 5000, 'app', :now, :now, 0, 0, :now + i,
    :ciphertext, 'fingerprint'
FROM numbers
""")


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        wanted: Number of ended sessions.
        purged: Number of those that were deleted.
        before: Results of the load without ended sessions.
        during: Results of the load until all were deleted.
        seconds: Duration of the purge.
    """

    database: str
    wanted: int
    purged: int = 0
    before: Ledger = field(default_factory=Ledger)
    during: Ledger = field(default_factory=Ledger)
    seconds: float = 0.0

    @property
    def factor(self) -> float:
        """Growth of the 99th percentile."""
        return _p99(self.during) / (_p99(self.before) or 1.0)

    @property
    def works(self) -> bool:
        """Whether all were purged and no mint failed, however long it took."""
        return (
            self.purged >= self.wanted > 0
            and not self.before.failures
            and not self.during.failures
            and min(self.before.requests, self.during.requests) > 0
        )

    @property
    def holds(self) -> bool:
        """Whether the purge worked and did not delay mints."""
        return self.works and self.factor <= _FACTOR

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        failures = [*self.before.failures, *self.during.failures]
        yield f"{self.database}: {self.purged} sessions purged in {self.seconds:.0f} s"
        yield (
            f"  mints: p99 {_p99(self.before) * 1000:.1f} ms before ({self.before.requests}), "
            f"{_p99(self.during) * 1000:.1f} ms during the purge ({self.during.requests}): "
            f"{self.factor:.2f} times, at most {_FACTOR:.0f}; {len(failures)} failed"
        )
        yield from failures[:5]


def prove(database: str, *, sessions: int, seconds: float) -> Figures:
    """
    Measure mints without and with a purge.

    Args:
        database: `sqlite` or `postgresql`.
        sessions: Number of ended sessions.
        seconds: Duration of the load before, and the minimum duration of the other.
    """
    figures = Figures(database, sessions)
    with contextlib.ExitStack() as stack:
        folder = temporary_folder(stack)
        issuer = stack.enter_context(IssuerDouble())
        settings = {
            "TOKENSVC_ISSUERS": json.dumps([issuer.config()]),
            "TOKENSVC_WORKERS": "2",
            **NO_LIMITS,
            **database_settings(stack, folder, database),
        }
        opened = Database.open(settings["TOKENSVC_DATABASE_URL"], pool_size=1)
        stack.callback(opened.close)
        _store_issuer_keys(folder, settings, opened, issuer)
        with _loaded_service(folder, settings, issuer, figures.before):
            time.sleep(seconds)
        _insert(opened, sessions)
        start = time.monotonic()
        with _loaded_service(folder, settings, issuer, figures.during):
            is_warm = time.monotonic()
            while (left := _count(opened)) and time.monotonic() < start + _LONGEST:
                time.sleep(_POLL)
            figures.seconds = time.monotonic() - start
            time.sleep(max(0.0, is_warm + seconds - time.monotonic()))
        figures.purged = sessions - left
    return figures


def _store_issuer_keys(
    folder: Path, settings: dict[str, str], database: Database, issuer: IssuerDouble
) -> None:
    """Run the service until it has stored the keys, without which few requests may wait."""
    store = IssuerKeyStore(database)
    with running_service(folder, **settings):
        wait_until(lambda: store.load(issuer.issuer) is not None, "the keys are stored")


@contextlib.contextmanager
def _loaded_service(
    folder: Path, settings: dict[str, str], issuer: IssuerDouble, ledger: Ledger
) -> Iterator[None]:
    """Run the service, with users who mint, until the block ends."""
    with running_service(folder, **settings) as service:
        clients = [
            SteadyClient(
                service.base_url,
                _request_of(issuer.token(sub=f"user-{number}")),
                lambda _: True,
                credentials=Credentials(STREAM_API_KEY, basic=""),
                ledger=ledger,
                interval=INTERVAL,
            )
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            time.sleep(_WARM_UP)
            ledger.forget_latencies()
            yield
        finally:
            for client in clients:
                client.stop()
            for client in clients:
                client.join()


def _request_of(token: str) -> Callable[[Credentials, int], tuple[str, dict[str, Any]]]:
    return lambda credentials, _: (f"Bearer {token}", {"api_key": credentials.api_key})


def _insert(database: Database, count: int) -> None:
    values: dict[str, Any] = {"count": count, "now": time.time() - 86400, "ciphertext": "c" * 140}
    with database.migration() as tx:  # without timeouts
        tx.execute(_INSERT, values)


def _count(database: Database) -> int:
    with database.migration() as tx:  # without timeouts
        ids = sa.select(sa.func.count()).select_from(sessions_table)
        return tx.scalar(ids) or 0


def _p99(ledger: Ledger) -> float:
    """Return the 99th percentile in seconds."""
    latencies = sorted(ledger.latencies)
    return latencies[int(len(latencies) * 0.99)] if latencies else 0.0
