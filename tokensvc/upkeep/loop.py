"""The thread that writes usage down once a minute, and purges the audit trail once an hour."""

import threading
from collections.abc import Callable

import structlog

from tokensvc.audit.service import AuditTrail
from tokensvc.clients.store import note_uses
from tokensvc.core.errors import Refusal
from tokensvc.database.engine import Database
from tokensvc.keys.store import add_unnamed_mints
from tokensvc.upkeep.usage import MINUTE, Usage

ROUNDS_PER_PURGE = 60

_log = structlog.get_logger(__name__)


class Upkeep:
    """
    Does the chores of a worker, in a thread of its own.

    Every worker of every instance does all of them: figures add up, and what one has purged the
    others do not find.

    Args:
        interval: Seconds between two rounds.
    """

    def __init__(
        self, database: Database, usage: Usage, trail: AuditTrail, *, interval: float = MINUTE
    ) -> None:
        self._database = database
        self._usage = usage
        self._trail = trail
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run in the background."""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was used until now is written first."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def write_usage(self) -> None:
        """
        Write the figures in one transaction, and keep them for the next time if that fails.

        A commit whose reply is lost counts unnamed mints twice: an estimate that is too high warns
        too early, one that is too low never.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        figures = self._usage.take()
        if not figures:
            return
        try:
            with self._database.write() as tx:
                note_uses(tx, figures.secrets)
                # Every process in the same order, so that none waits for one that waits for it.
                for hour, count in sorted(figures.unnamed_mints.items()):
                    add_unnamed_mints(tx, hour, count)
        except BaseException:
            self._usage.put_back(figures)
            raise

    def _run(self) -> None:
        rounds = 0
        while not self._stopping.wait(self._interval):
            _attempt("usage_not_written", self.write_usage)
            # In the first round too: a process may never live for an hour.
            if rounds % ROUNDS_PER_PURGE == 0:
                _attempt("audit_not_purged", self._trail.purge)
            rounds += 1
        _attempt("usage_not_written", self.write_usage)


def _attempt(failure: str, chore: Callable[[], object]) -> None:
    """Do a chore; whatever breaks it does not end the thread, which tries again."""
    try:
        chore()
    except Refusal as refusal:
        _log.warning(failure, detail=refusal.detail, reason=refusal.reason)
    except Exception:  # noqa: BLE001 - as said
        _log.exception(failure)
