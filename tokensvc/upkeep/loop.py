"""Writes usage to the database."""

from tokensvc.clients.store import note_uses
from tokensvc.database.engine import Database
from tokensvc.keys.store import add_unnamed_mints
from tokensvc.upkeep.usage import Usage


class Upkeep:
    """Writes the usage that a process has counted; the figures of all processes add up."""

    def __init__(self, database: Database, usage: Usage) -> None:
        self._database = database
        self._usage = usage

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
