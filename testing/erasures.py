"""The erasure of users in a database without a running service."""

from testing.sessions import HASHES
from tokensvc.app.build import erased_parts
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.revocations.erasures import Erasures
from tokensvc.revocations.service import Revocations
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.delivery.settings import ErasureSettings


def erasures_on(
    database: Database, clock: DatabaseClock, revocations: Revocations, deliveries: Deliveries
) -> Erasures:
    """Return the erasures as a process has them."""
    return Erasures(
        database,
        clock,
        revocations=revocations,
        deliveries=deliveries,
        parts=erased_parts(HASHES),
        modes=ErasureSettings(),
    )
