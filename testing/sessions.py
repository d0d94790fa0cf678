"""The sessions of a database without a running service."""

from tokensvc.core.clock import Clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault
from tokensvc.sessions.service import Sessions
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.session_read import SessionReads

ENCRYPTION_KEY = Vault.generate_key()
VAULT = Vault([ENCRYPTION_KEY])


def sessions_on(
    database: Database, clock: Clock, settings: SessionSettings | None = None, vault: Vault = VAULT
) -> Sessions:
    """Return the sessions as another process has them; SQLite uses the clock."""
    return Sessions(
        database,
        DatabaseClock(database, clock),
        SessionReads(database, clock),
        vault,
        settings or SessionSettings(),
        pause=lambda _seconds: None,
    )
