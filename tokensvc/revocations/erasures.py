"""
Erase a user: refuse the ID permanently, delete what is stored here, and let Stream delete the user.

The refusal, the cut-off, the event and the deletion here are one transaction. Stream gets the
cut-off first, then deletes the user (`stream/delivery/erasures.py`).
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext, Target
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import State, UserActionResult, action_result
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind, erased
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.delivery.settings import ErasureSettings

ErasePart: TypeAlias = Callable[[Transaction, str, float], int]
"""Delete the rows of a user at a time in epoch seconds, and return their number."""


class ErasedRows(msgspec.Struct, frozen=True, kw_only=True):
    """
    Rows of a user that an erasure deletes here.

    Attributes:
        accounts: Number of accounts; the ID stays reserved.
        codes: Number of invitations and reset codes.
        addresses: Number of addresses from which the user signed in.
        sessions: Number of sessions, live or not.
        profiles: Number of profiles.
    """

    accounts: int
    codes: int
    addresses: int
    sessions: int
    profiles: int


_NO_ROWS = ErasedRows(accounts=0, codes=0, addresses=0, sessions=0, profiles=0)


class ErasureModes(msgspec.Struct, frozen=True):
    """
    What Stream deletes, and how: the settings `erasure`.

    Attributes:
        user: How it deletes the user.
        messages: How it deletes the user's messages.
        conversations: How it deletes the channels of the user and one other.
    """

    user: str
    messages: str
    conversations: str


class ErasureResult(UserActionResult, frozen=True, kw_only=True):
    """
    State of a user after an erasure.

    Attributes:
        erased: Rows that were deleted here; none by a repetition.
        at_stream: What Stream deletes.
    """

    erased: ErasedRows
    at_stream: ErasureModes


class Erasures:
    """
    Erases users.

    Args:
        revocations: Actions that move the cut-off.
        deliveries: Deliveries to Stream, and the profiles.
        parts: Functions that delete what other packages store, by the members of `ErasedRows`, in
            the order in which they lock rows: the account first.
        modes: What Stream deletes, and how.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        *,
        revocations: Revocations,
        deliveries: Deliveries,
        parts: Mapping[str, ErasePart],
        modes: ErasureSettings,
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._revocations = revocations
        self._deliveries = deliveries
        self._parts = parts
        self._modes = ErasureModes(modes.user, modes.messages, modes.conversations)

    def erase(self, user_id: str, context: ActionContext) -> ErasureResult:
        """Erase a user. A repetition changes nothing."""
        target = Target(user_id)
        with self._database.write(dry_run=context.dry_run) as tx:
            rows, _ = self._erase(tx, user_id, context)
            state = self._revocations.state_within(tx, target)
        if not context.dry_run:
            state = self._revocations.confirm(target)
        return self._result(state, rows, context)

    def erase_within(self, tx: Transaction, user_id: str, context: ActionContext) -> Details:
        """
        Erase a user, with an event, in the transaction of another action.

        Call `Revocations.confirm` after the commit and before the response.

        Returns:
            The details of the event; none if the user was erased before.
        """
        return self._erase(tx, user_id, context)[1]

    def erase_rows(self, tx: Transaction, user_id: str, now: float) -> ErasedRows:
        """Delete the rows of a user, and let Stream delete the user."""
        numbers = {name: part(tx, user_id, now) for name, part in self._parts.items()}
        return ErasedRows(**numbers, profiles=self._deliveries.erase_within(tx, user_id, now))

    def _erase(
        self, tx: Transaction, user_id: str, context: ActionContext
    ) -> tuple[ErasedRows, Details]:
        target, kind = Target(user_id), RevocationKind.DELETION
        if standings.read(tx, target).erased_at is not None:
            return _NO_ROWS, {}
        # Before the standing is locked, because other actions lock the account first.
        rows = self.erase_rows(tx, user_id, self._clock.read(tx))
        if standings.lock(tx, target).erased_at is not None:
            return rows, {}  # another request was faster
        details = self._revocations.revoke_within(tx, user_id, kind, context)
        standing, now = standings.lock(tx, target), self._clock.read(tx)
        standings.write(tx, target, erased(standing, int(now)))
        record(tx, context, Action.USER_ERASED, user_id, now=now, details=details)
        return rows, details

    def _result(self, state: State, rows: ErasedRows, context: ActionContext) -> ErasureResult:
        holds_until = self._revocations.holds_until(state)
        result = action_result(state, holds_until, dry_run=context.dry_run, is_undo=False)
        members = msgspec.structs.asdict(result)
        return ErasureResult(**members, erased=rows, at_stream=self._modes)
