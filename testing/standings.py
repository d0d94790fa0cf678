"""Changes of a standing without the rest of an action."""

from dataclasses import replace

from tokensvc.core.actions import Target
from tokensvc.database.engine import Database
from tokensvc.standing import store as standings


def suspend(database: Database, user_id: str) -> None:
    """Suspend a user, without ending the sessions."""
    target = Target(user_id)
    with database.write() as tx:
        standing = standings.lock(tx, target)
        standings.write(tx, target, replace(standing, suspended_at=1))


def raise_epoch(database: Database, target: Target) -> None:
    """End all sessions of a user or of the app as an action does."""
    with database.write() as tx:
        standing = standings.lock(tx, target)
        standings.write(tx, target, replace(standing, epoch=standing.epoch + 1))
