"""Read the states of users and the app."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tokensvc.core.actions import Target
from tokensvc.database.engine import Connection
from tokensvc.revocations import store
from tokensvc.revocations.state import State, UserState, app_state, user_state
from tokensvc.standing import store as standings
from tokensvc.standing.rules import StoredStanding
from tokensvc.stream.delivery import store as deliveries
from tokensvc.stream.delivery.rules import APP_SUBJECT, DeliveryKind
from tokensvc.stream.delivery.state import (
    NEVER_SENT,
    NOT_SENT,
    NOTHING_TO_DELIVER,
    StreamStatus,
)

CountSessions: TypeAlias = Callable[[Connection, Collection[str]], Mapping[str, int]]
"""Return the number of open sessions of each user."""


@dataclass(frozen=True, slots=True)
class StateReads:
    """
    The reads of states.

    Attributes:
        count_sessions: Function that counts the open sessions of users.
        is_delivery_on: Whether states are delivered to Stream; if not, they say `not_sent`.
    """

    count_sessions: CountSessions
    is_delivery_on: bool

    def state(self, connection: Connection, target: Target) -> State:
        """Return the state of a user or the app."""
        standing = standings.read(connection, target)
        if target.user_id is not None:
            return self.users(connection, {target.user_id: standing})[0]
        status = NOT_SENT
        if self.is_delivery_on:
            status = deliveries.status(connection, *delivery_of(target))
        revocations = store.revocations_of(connection, target)
        return app_state(standing, revocations, _shown(status, standing))

    def users(self, connection: Connection, users: Mapping[str, StoredStanding]) -> list[UserState]:
        """
        Return the states of users.

        Args:
            users: Their standings by ID.
        """
        ids = list(users)
        revocations = store.revocations_by_user(connection, ids)
        statuses = deliveries.statuses(connection, "user", ids) if self.is_delivery_on else {}
        sessions = self.count_sessions(connection, ids)
        erased = {name: user.erased_at for name, user in users.items() if user.erased_at}
        erasures = deliveries.erasures(connection, erased)
        return [
            user_state(
                user_id,
                standing,
                revocations[user_id],
                _shown(statuses.get(user_id, NOT_SENT), standing),
                sessions=sessions[user_id],
                erasure=erasures.get(user_id),
            )
            for user_id, standing in users.items()
        ]


def delivery_of(target: Target) -> tuple[DeliveryKind, str]:
    """Return the kind and the subject of the delivery of a target's cut-off."""
    if target.user_id is None:
        return "app", APP_SUBJECT
    return "user", target.user_id


def _shown(status: StreamStatus, standing: StoredStanding) -> StreamStatus:
    # The row of a finished delivery is purged, but the floor stays.
    return NEVER_SENT if status is NOTHING_TO_DELIVER and not standing.floor else status
