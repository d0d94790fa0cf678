"""A worker's chores on either database."""

from dataclasses import dataclass, field

import pytest

from testing.service_clients import make_client
from tests.conftest import ManualClock
from tokensvc.audit.service import AuditTrail
from tokensvc.clients.service import Clients
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.keys.store import unnamed_mints_since
from tokensvc.upkeep.loop import Upkeep
from tokensvc.upkeep.usage import Usage

DAY = 86400


@dataclass
class Worker:
    """What a worker has of the chores, with a client of one secret and the clock of all."""

    database: Database
    clock: ManualClock
    trail: AuditTrail = field(init=False)
    usage: Usage = field(init=False)
    upkeep: Upkeep = field(init=False)
    secret_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.trail = AuditTrail(self.database, DatabaseClock(self.database, self.clock), DAY)
        self.usage, self.upkeep = self.another()
        client = make_client(self.database, "backend", "tokens:mint", clock=self.clock)
        self.secret_id = client.secret.id

    def another(self) -> tuple[Usage, Upkeep]:
        """Give the figures and the chores of one more worker."""
        usage = Usage(self.clock)
        return usage, Upkeep(self.database, usage)

    def last_used(self) -> dict[str, int | None]:
        """Give when each secret was last used."""
        clients = Clients(self.database, self.clock).page()
        return {secret.id: secret.last_used_at for client in clients for secret in client.secrets}

    def unnamed(self) -> int:
        with self.database.read() as connection:
            return unnamed_mints_since(connection, 0)


@pytest.fixture
def worker(database: Database, clock: ManualClock) -> Worker:
    return Worker(database, clock)
