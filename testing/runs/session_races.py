"""
Simultaneous refreshes give a session one next token.

Threads of several processes present tokens simultaneously, as two tabs do, as a thief and the user
do after the reuse window, and while an action ends the session.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from testing.runs.preparation import database_settings, temporary_folder
from testing.session_processes import PROCESSES, THREADS, SessionProcesses, running_processes
from testing.sessions import make_older, open_session, revocations_on, sessions_on
from tokensvc.audit.rules import Action
from tokensvc.audit.tables import audit_events
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.sessions.issued import IssuedSession
from tokensvc.sessions.refresh_tokens import PREFIX
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.tables import sessions as sessions_table

_TOGETHER = 500
"""Sessions that are opened before their races."""
_CONTEXT = ActionContext("svc.backend")


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        wanted: Number of races of each kind that the run must reach.
        races: Number of races by kind.
        responses: Number of responses by kind and result: `token`, or the reason of the refusal.
        faults: Number of races by kind and fault.
        collisions: Number of requests that lost a compare-and-swap.
    """

    database: str
    wanted: dict[str, int]
    races: Counter[str] = field(default_factory=Counter)
    responses: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    collisions: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether no race had a fault, and requests did collide."""
        return (
            all(self.races[kind] >= count for kind, count in self.wanted.items())
            and not self.faults.total()
            and self.collisions > 0
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield (
            f"{self.database}, {PROCESSES} processes with {THREADS} threads, "
            f"{self.collisions} lost compare-and-swaps, {self.seconds:.0f} s"
        )
        for kind in self.wanted:
            yield (
                f"  {kind}: {self.races[kind]} races, "
                f"{self.faults[kind, DOUBLE]} double winners, responses: {self._of(kind)}"
            )
        for (kind, fault), count in self.faults.items():
            yield f"  {kind}: {fault} in {count} races"

    def count(self, kind: str, results: Sequence[str]) -> set[str]:
        """Count the responses of a race. Return the different tokens in them."""
        self.races[kind] += 1
        tokens = _tokens(results)
        for result in results:
            self.responses[kind, "token" if result in tokens else result] += 1
        return tokens

    def check(self, kind: str, fault: str, *, holds: bool) -> None:
        """Count a fault unless a condition holds."""
        if not holds:
            self.faults[kind, fault] += 1

    def _of(self, kind: str) -> str:
        counts = {result: n for (counted, result), n in self.responses.items() if counted == kind}
        return ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))


TABS, THEFT, REVOCATION = "tabs", "theft", "revocation"
DOUBLE = "double winner"


def prove(database: str, *, races: int, others: int) -> Figures:
    """
    Run races.

    Args:
        database: `sqlite` or `postgresql`.
        races: Number of races for the current token of a session.
        others: Number of races of each other kind.
    """
    figures = Figures(database, {TABS: races, THEFT: others, REVOCATION: others})
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        settings = database_settings(stack, temporary_folder(stack), database)
        url = settings["TOKENSVC_DATABASE_URL"]
        opened = Database.open(url, pool_size=2)
        stack.callback(opened.close)
        processes = stack.enter_context(running_processes())
        processes.open(url)
        run = _Run(opened, processes, figures)
        for kind, of_kind in ((TABS, run.tabs), (THEFT, run.theft), (REVOCATION, run.revocation)):
            while (left := figures.wanted[kind] - figures.races[kind]) > 0:
                of_kind(min(left, _TOGETHER))
        figures.collisions = processes.lost()
    figures.seconds = time.monotonic() - start
    return figures


class _Run:
    """The races on one database."""

    def __init__(self, database: Database, processes: SessionProcesses, figures: Figures) -> None:
        self._database = database
        self._processes = processes
        self._figures = figures
        self._sessions = sessions_on(database, system_clock)
        self._revocations = revocations_on(database, system_clock)
        self._opened = 0

    def tabs(self, count: int) -> None:
        """All threads present the current token: one advance, and the same new token for all."""
        grants = self._open(count)
        results = self._processes.race([[grant.refresh_token] for grant in grants])
        advances = self._events(Action.SESSION_REFRESHED)
        counters, check = self._column("counter"), self._figures.check
        for grant, of_race in zip(grants, results, strict=True):
            session_id = grant.family.id
            tokens = self._figures.count(TABS, of_race)
            is_single = len(tokens) <= 1 and advances[session_id] <= 1
            check(TABS, DOUBLE, holds=is_single and counters[session_id] <= 1)
            check(TABS, "refused", holds=len(tokens) == 1 and set(of_race) == tokens)
            check(TABS, "no advance", holds=advances[session_id] == counters[session_id] == 1)

    def theft(self, count: int) -> None:
        """Half of the threads present the predecessor, too late: no session continues."""
        stolen = self._open(count)
        current = [self._sessions.refresh(grant.refresh_token, "app") for grant in stolen]
        make_older(self._database, SessionSettings().reuse_grace)
        pairs = [
            [user.refresh_token, thief.refresh_token]
            for user, thief in zip(current, stolen, strict=True)
        ]
        results = self._processes.race(pairs)
        replays = self._events(Action.SESSION_REPLAYED)
        ended = self._column("ended_at")
        after, check = self._race_again(results, current), self._figures.check
        for grant, of_race, later in zip(stolen, results, after, strict=True):
            tokens = self._figures.count(THEFT, of_race)
            check(THEFT, DOUBLE, holds=len(tokens) <= 1 and not _tokens(of_race[1::2]))
            check(THEFT, "no end", holds=ended[grant.family.id] is not None)
            check(THEFT, "no event", holds=replays[grant.family.id] == 1)
            check(THEFT, "use after the end", holds=set(later) == {"ended"})

    def revocation(self, count: int) -> None:
        """End the session by a revocation meanwhile: no refresh after its response succeeds."""
        grants = self._open(count)
        twice = [[grant.refresh_token] for grant in grants for _ in range(2)]

        def revoke(number: int) -> None:
            if number % 2 == 0:
                self._revocations.revoke(Target(grants[number // 2].family.user_id), _CONTEXT)

        results = self._processes.race(twice, revoke)
        in_flight, after = results[::2], results[1::2]
        later = self._race_again(in_flight, grants)
        advances, check = self._events(Action.SESSION_REFRESHED), self._figures.check
        for grant, of_race, *refused in zip(grants, in_flight, after, later, strict=True):
            tokens = self._figures.count(REVOCATION, of_race)
            is_single = len(tokens) <= 1 and advances[grant.family.id] <= 1
            check(REVOCATION, DOUBLE, holds=is_single)
            for results_after in refused:
                check(REVOCATION, "use after the response", holds=set(results_after) == {"revoked"})

    def _race_again(
        self, results: Sequence[Sequence[str]], grants: Sequence[IssuedSession]
    ) -> list[tuple[str, ...]]:
        """Present the tokens that races returned, or the previous ones."""
        tokens = (
            next(iter(_tokens(of_race)), grant.refresh_token)
            for of_race, grant in zip(results, grants, strict=True)
        )
        return self._processes.race([[token] for token in tokens])

    def _open(self, count: int) -> list[IssuedSession]:
        """Open sessions of different users."""
        with self._database.write() as tx:
            users = [f"user-{self._opened + number}" for number in range(count)]
            self._opened += count
            return [open_session(tx, self._sessions, user_id) for user_id in users]

    def _events(self, action: Action) -> Counter[str]:
        """Return the number of events by session."""
        with self._database.read() as connection:
            details = sa.select(audit_events.c.details).where(audit_events.c.action == action)
            return Counter(json.loads(found)["session"] for found in connection.scalars(details))

    def _column(self, name: str) -> dict[str, float]:
        """Return a column by session."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(sessions_table.c.id, sessions_table.c[name]))
            return {row[0]: row[1] for row in rows}


def _tokens(results: Sequence[str]) -> set[str]:
    return {result for result in results if result.startswith(PREFIX)}
