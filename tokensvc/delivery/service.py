"""What people and routes ask of deliveries: set a profile, look, try again."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core import stream_user
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database
from tokensvc.delivery import profile_store, rules, store
from tokensvc.delivery.caller import KeyName
from tokensvc.delivery.profile_store import Profile
from tokensvc.delivery.rules import APP, Delivery, DeliveryKind, DeliveryState
from tokensvc.delivery.state import StreamStatus, stream_status

OVERDUE = 60
"""Seconds that something may be due before somebody should look."""

_MANY = 1000

_THE_APP, _EVERYTHING = "delivery:app", "delivery:due"
"""Subjects of events. The colon can be in no user id."""


class ProfileState(msgspec.Struct, frozen=True):
    """
    A user's profile and its delivery to Stream.

    Attributes:
        user_id: ID of the user on Stream.
        profile: User object that Stream must hold.
        stream: Delivery of the profile to Stream.
    """

    user_id: str
    profile: dict[str, Any]
    stream: StreamStatus


class Deliveries:
    """
    The deliveries as people see them. Who brings them over is the `Sender`.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

    Args:
        clock: The database's.
        refused_keys: Gives the keys that Stream refuses, and its words.
        delivers: Whether Stream is told; if not, states say `not_sent`.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        refused_keys: Callable[[], Mapping[KeyName, str]],
        *,
        delivers: bool,
    ) -> None:
        self.delivers = delivers
        self._database = database
        self._clock = clock
        self._refused_keys = refused_keys

    def set_profile(self, user_id: str, user: Mapping[str, Any], actor: str) -> ProfileState:
        """
        Have Stream hold a user object. The same one again changes nothing.

        Raises:
            Refusal: `user_id_mismatch` or `user_invalid`.
        """
        stream_user.check(user, user_id, by_server=True)
        members = {name: value for name, value in user.items() if name != "id"}
        with self._database.write() as tx:
            former = profile_store.lock(tx, user_id)
            if former is None or _text(former.set) != _text(members):
                now = self._clock.read(tx)
                profile = Profile(members, _left_over(former, members))
                profile_store.write(tx, user_id, profile, now)
                store.mark_pending(tx, "profile", user_id, now)
                record(tx, ActionContext(actor), Action.PROFILE_SET, user_id, now=now)
            stream = self._status(tx, "profile", user_id)
        return ProfileState(user_id, {"id": user_id, **members}, stream)

    def listed(
        self, *, kind: DeliveryKind | None, states: Collection[DeliveryState], limit: int
    ) -> Sequence[Delivery]:
        """Give deliveries, those whose state changed last first."""
        with self._database.read() as connection:
            return store.listed(connection, kind=kind, states=states, limit=limit)

    def retry(self, context: ActionContext) -> int:
        """Make everything that waits for another attempt due now, and give how much that is."""
        with self._database.write() as tx:
            now = self._clock.read(tx)
            number = store.make_due(tx, now)
            if number:
                record(tx, context, Action.DELIVERY_RETRIED, _EVERYTHING, now=now)
        return number

    def resend(
        self, user_ids: Collection[str], context: ActionContext, *, app: bool
    ) -> list[Delivery]:
        """
        Bring states over once more, whatever Stream is known to hold, and give what that is of.

        For somebody who has changed them past this service.
        """
        subjects: dict[DeliveryKind, Collection[str]] = {"user": user_ids, "profile": user_ids}
        if app:
            subjects["app"] = [APP]
        sent: list[Delivery] = []
        with self._database.write() as tx:
            now = self._clock.read(tx)
            for kind in sorted(subjects):
                rows = store.lock(tx, kind, subjects[kind])
                again = [rules.mark_changed(row, now, resend=False) for row in rows]
                store.save(tx, again)
                sent += again
            for subject in sorted({row.subject for row in sent}):
                record(tx, context, Action.DELIVERY_RETRIED, subject or _THE_APP, now=now)
        return sent

    def warnings(self) -> list[str]:
        """Tell what an operator should look at, a sentence each."""
        found = [
            f"Stream refuses the key {api_key} with the secret {fingerprint} ({detail})"
            for (api_key, fingerprint), detail in self._refused_keys().items()
        ]
        with self._database.read() as connection:
            failed = store.failed(connection, _MANY)
            since = store.overdue_since(connection)
        if failed:
            number = f"{_MANY} or more" if len(failed) == _MANY else str(len(failed))
            found.append(f"{number} failed and tried again at times ({failed[0].last_error})")
        waiting = int(self._clock()) - since if since is not None else 0
        if waiting > OVERDUE:
            found.append(f"due for {waiting} s: is Stream reached, or `tokensvc worker` running?")
        return found

    def _status(self, connection: Connection, kind: DeliveryKind, subject: str) -> StreamStatus:
        status = store.status(connection, kind, subject) if self.delivers else None
        return stream_status(status)


def _left_over(former: Profile | None, members: Mapping[str, Any]) -> list[str]:
    """
    Give the members of former profiles that are to go, since Stream is sent changes.

    What only a server may set stays until it is set to something else: Stream does not say that
    it can be taken away.
    """
    if former is None:
        return []
    names = {*former.set, *former.unset} - members.keys() - stream_user.SERVER_ONLY
    return sorted(names)


def _text(members: Mapping[str, Any]) -> str:
    """For comparison: to Python, 1 and true are equal."""
    return json.dumps(members, sort_keys=True)
