"""Deliveries for routes and operators: set a profile, list, retry."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core import stream_user
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.stream.delivery import profile_store, rules, store
from tokensvc.stream.delivery.profile_store import Profile
from tokensvc.stream.delivery.queue_store import read_backlog, read_sizes
from tokensvc.stream.delivery.rules import APP_SUBJECT, Delivery, DeliveryKind, DeliveryState
from tokensvc.stream.delivery.state import NOT_SENT, StreamStatus

OVERDUE = 60
"""Seconds for which something may be due before an operator is warned."""

MAX_STORED_NAMES = 200
"""Maximum number of members in a user-edited profile, removed ones included."""

_MANY = 1000
_MAX_COUNT = 10_000
"""Deliveries of a kind and state that are counted for the metrics."""

_OF_USERS: Final[tuple[DeliveryKind, ...]] = ("user", "profile", "erasure")
"""Kinds of deliveries of a user that may be sent again: devices that came later must stay."""

_THE_APP, _EVERYTHING = "delivery:app", "delivery:due"
"""Subjects of audit events. A user ID cannot contain a colon."""


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


class Waiting(NamedTuple):
    """
    Deliveries of one kind that are not complete.

    Attributes:
        numbers: Number by state, counted up to 10,000.
        oldest_seconds: Time for which Stream has lacked the oldest.
    """

    kind: DeliveryKind
    numbers: Mapping[str, int]
    oldest_seconds: int


class Deliveries:
    """
    Deliveries as routes and operators see them. The `Sender` sends them.

    Args:
        refused_keys: Function that returns Stream's message about each key that it refuses: the
            API key with the fingerprint of its secret.
        is_delivery_on: Whether delivery is on; if not, every status is `not_sent`.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        refused_keys: Callable[[], Mapping[tuple[str, str], str]],
        *,
        is_delivery_on: bool,
    ) -> None:
        self.is_delivery_on = is_delivery_on
        self._database = database
        self._clock = database_clock
        self._refused_keys = refused_keys

    def set_profile(self, user_id: str, user: Mapping[str, Any], actor: str) -> ProfileState:
        """
        Store a user object for delivery to Stream. A repetition changes nothing.

        Raises:
            Refusal: `user_erased`; `user_id_mismatch` or `user_invalid`.
        """
        with self._database.write() as tx:
            return self.set_profile_within(tx, user_id, user, actor)

    def set_profile_within(
        self, tx: Transaction, user_id: str, user: Mapping[str, Any], actor: str
    ) -> ProfileState:
        """
        Store a user object for delivery to Stream in the transaction of another action.

        Raises:
            Refusal: `user_erased`; `user_id_mismatch` or `user_invalid`.
        """
        stream_user.check(user, user_id, by_server=True)
        members = {name: value for name, value in user.items() if name != "id"}
        previous = profile_store.lock(tx, user_id)
        profile = Profile(members, _removed_members(previous, members))
        return self._replace(tx, user_id, previous, profile, actor)

    def change_own_profile(self, user_id: str, changes: Mapping[str, Any]) -> ProfileState:
        """
        Change members of a profile at the request of its user (RFC 7396, for the top level).

        Other members stay, those that only a server may set too.

        Args:
            changes: User object with the new members. `null` removes a member.

        Raises:
            Refusal: `user_erased`; `user_id_mismatch` or `user_invalid`, also if the new profile is
                too large or its user has removed too many members.
        """
        stream_user.check(changes, user_id)
        with self._database.write() as tx:
            previous = profile_store.lock(tx, user_id)
            user = {**_valid_members(previous), **changes}
            erased = {name for name, value in changes.items() if value is None}
            members = {name: user[name] for name in user.keys() - erased - {"id"}}
            stream_user.check({"id": user_id, **members}, user_id, by_server=True)
            removed = sorted({*_removed_members(previous, members), *erased})
            profile = Profile(members, removed)
            _check_stored_names(profile)
            return self._replace(tx, user_id, previous, profile, user_id)

    def erase_within(self, tx: Transaction, user_id: str, now: float) -> int:
        """
        Delete a profile and let Stream delete its user, in the transaction of another action.

        Returns:
            Number of deleted profiles.
        """
        profiles = int(profile_store.delete(tx, user_id))
        # A call with the profile, which can create the user, must not take effect after that.
        due_at = store.remove(tx, "profile", user_id, now)
        store.mark_pending(tx, "erasure", user_id, now)
        store.postpone(tx, "erasure", user_id, due_at)
        return profiles

    def profiles(
        self, connection: Connection, user_ids: Collection[str]
    ) -> dict[str, dict[str, Any]]:
        """Return the user objects that Stream must hold, by user ID."""
        found = profile_store.read(connection, user_ids)
        return {user_id: {"id": user_id, **profile.set} for user_id, profile in found}

    def listed(
        self, *, kind: DeliveryKind | None, states: Collection[DeliveryState], limit: int
    ) -> Sequence[Delivery]:
        """Return deliveries, the most recently changed first."""
        with self._database.read() as connection:
            return store.listed(connection, kind=kind, states=states, limit=limit)

    def retry(self, context: ActionContext) -> int:
        """Make everything that waits for another attempt due now, and return the number."""
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
        Make states due again, even if Stream has them, and return the deliveries.

        An operator needs this after someone changed the same data in Stream's dashboard.
        """
        subjects: dict[DeliveryKind, Collection[str]] = dict.fromkeys(_OF_USERS, user_ids)
        if app:
            subjects["app"] = [APP_SUBJECT]
        marked: list[Delivery] = []
        with self._database.write() as tx:
            now = self._clock.read(tx)
            for kind in sorted(subjects):
                again = {row.subject for row in store.lock(tx, kind, subjects[kind])}
                if kind == "profile":  # its delivery may be purged, the user object is not
                    again |= {user_id for user_id, _ in profile_store.read(tx, user_ids)}
                store.mark_each_pending(tx, kind, sorted(again), now)
                marked += store.lock(tx, kind, again)
            for subject in sorted({row.subject for row in marked}):
                record(tx, context, Action.DELIVERY_RETRIED, subject or _THE_APP, now=now)
        return marked

    def warnings(self) -> list[str]:
        """Return one sentence for each problem that an operator must solve."""
        found = [
            f"Stream refuses the key {api_key} with the secret {fingerprint} ({detail})"
            for (api_key, fingerprint), detail in self._refused_keys().items()
        ]
        backlog = read_backlog(self._database, _MANY)
        if backlog.failed:
            number = f"{_MANY} or more" if backlog.failed >= _MANY else str(backlog.failed)
            found.append(f"{number} failed, to be retried ({backlog.last_error})")
        since = backlog.due_since
        waiting = int(self._clock()) - since if since is not None else 0
        if waiting > OVERDUE:
            found.append(f"due for {waiting} s: is Stream reachable, is `tokensvc worker` running?")
        return found

    def waiting(self) -> list[Waiting]:
        """Return what waits of each kind; nothing if delivery is off."""
        if not self.is_delivery_on:
            return []
        sizes, now = read_sizes(self._database, _MAX_COUNT), int(self._clock())
        found = []
        for kind in dict.fromkeys(queue.kind for queue in sizes):
            of_kind = [(queue.state, size) for queue, size in sizes.items() if queue.kind == kind]
            late = [size.since for state, size in of_kind if state in rules.LATE_STATES]
            since = min((time for time in late if time is not None), default=now)
            numbers = dict.fromkeys((str(state) for state, _ in of_kind), 0)
            for state, size in of_kind:
                numbers[str(state)] = min(_MAX_COUNT, numbers[str(state)] + size.number)
            found.append(Waiting(kind, numbers, max(0, now - since)))
        return found

    def _replace(
        self,
        tx: Transaction,
        user_id: str,
        previous: Profile | None,
        profile: Profile,
        actor: str,
    ) -> ProfileState:
        """Store a profile whose row is locked, unless it is the previous one."""
        if previous is None or _text(previous) != _text(profile):
            now = self._clock.read(tx)
            profile_store.write(tx, user_id, profile, now)
            store.mark_pending(tx, "profile", user_id, now)
            record(tx, ActionContext(actor), Action.PROFILE_SET, user_id, now=now)
        stream = self._status(tx, "profile", user_id)
        return ProfileState(user_id, {"id": user_id, **profile.set}, stream)

    def _status(self, connection: Connection, kind: DeliveryKind, subject: str) -> StreamStatus:
        return store.status(connection, kind, subject) if self.is_delivery_on else NOT_SENT


def _removed_members(previous: Profile | None, members: Mapping[str, Any]) -> list[str]:
    """
    Return the members of previous profiles that Stream must remove.

    Stream receives changes, not the whole object, so a missing member would stay.

    Server-only members stay until they are changed: Stream does not document their removal.
    """
    if previous is None:
        return []
    names = {*previous.set, *previous.unset} - members.keys() - stream_user.SERVER_ONLY
    return sorted(filter(stream_user.is_name, names))


def _valid_members(previous: Profile | None) -> dict[str, Any]:
    """Return the members of a profile, without names that are refused since it was stored."""
    members = previous.set if previous is not None else {}
    return {name: value for name, value in members.items() if stream_user.is_name(name)}


def _check_stored_names(profile: Profile) -> None:
    """
    Refuse a profile that keeps the names of too many removed members.

    Raises:
        Refusal: `user_invalid`.
    """
    if len(profile.set) + len(profile.unset) > MAX_STORED_NAMES:
        raise Refusal(
            Code.USER_INVALID,
            f"The profile and its removed members exceed {MAX_STORED_NAMES} names: use the names "
            "again that it had before.",
        )


def _text(profile: Profile) -> str:
    """Return a text to compare: in Python, 1 and true are equal."""
    return json.dumps([profile.set, profile.unset], sort_keys=True)
