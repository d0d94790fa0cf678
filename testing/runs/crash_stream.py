"""What Stream has of the users of a crash run, next to what it must have."""

import random
from typing import Any

from testing.doubles.stream import StreamDouble
from testing.runs.crash_actors import Subject
from testing.runs.crash_figures import (
    DEVICE_DEVICE,
    DEVICES_ERASURE,
    ERASURE_END,
    HINT_DEVICES,
    Figures,
)
from testing.waiting import wait_until
from tokensvc.core.actions import APP, Target
from tokensvc.database.engine import Database
from tokensvc.standing import store as standings
from tokensvc.stream.api import rfc3339
from tokensvc.stream.delivery import rules, store
from tokensvc.stream.delivery.rules import DeliveryState
from tokensvc.stream.delivery.tables import deliveries

LATEST = 25.0
"""Maximum seconds until a call that hangs or is late is applied."""
CUT_OFF = "revoke_tokens_issued_before"
_DELIVERY_TIMEOUT = rules.LEASE_SECONDS + 4 * rules.RESEND_SECONDS + LATEST + 60


class AtStream:
    """
    Stream's side of a run.

    Attributes:
        subjects: The users and the app.
    """

    def __init__(
        self,
        stream: StreamDouble,
        database: Database,
        figures: Figures,
        generator: random.Random,
    ) -> None:
        self.subjects: list[Subject] = []
        self._stream = stream
        self._database = database
        self._figures = figures
        self._random = generator

    def connect(self, user_id: str) -> None:
        """Create a user as the first connection does."""
        self._stream.app.users.setdefault(user_id, {"id": user_id, "role": "user"})

    def add_device(self, subject: Subject) -> None:
        """Add a device to a user."""
        assert subject.user_id is not None
        device_id = f"{subject.user_id}-{len(subject.devices)}"
        self._stream.devices.add(subject.user_id, device_id)
        subject.devices.append(device_id)

    def add_a_device(self) -> None:
        """Add a device to one connected user."""
        users = self._stream.app.users
        connected = [item for item in self.subjects if item.user_id in users and not item.erased]
        self.add_device(self._random.choice(connected))

    def gaps(self) -> set[str]:
        """Return between which steps the deliveries of some user are."""
        with self._database.read() as connection:
            rows = store.listed(connection, kind=None, states=list(DeliveryState), limit=10_000)
        open_of = {(row.kind, row.subject): not row.has_ended for row in rows}
        found = set()
        for row in rows:
            hint, devices = (open_of.get((kind, row.subject)) for kind in rules.REACH)
            if row.kind == "hint" and devices is not None and hint is not devices:
                found.add(HINT_DEVICES)
            if row.kind == "erasure" and not row.has_ended:
                if devices and len(self._stream.devices.of(row.subject)) == 1:
                    found.add(DEVICE_DEVICE)
                if row.task:
                    found.add(ERASURE_END)
                elif not hint and not devices:
                    found.add(DEVICES_ERASURE)
        return found

    def connect_a_missing_user(self) -> None:
        """Sometimes connect a missing user: Stream creates them without a cut-off."""
        missing = self._missing()
        if missing and self._random.random() < 0.2:
            self.connect(self._random.choice(missing))

    def compare_if_applied(self, subject: Subject) -> None:
        """Compare a subject whose deliveries are all `applied`."""
        with self._database.read() as connection:
            statuses = [store.status(connection, *row) for row in self._deliveries_of(subject)]
        if all(
            status.state is DeliveryState.APPLIED and status.devices not in rules.LATE_STATES
            for status in statuses
        ):
            self._figures.applied += 1
            self.compare(subject)

    def compare(self, subject: Subject) -> None:
        """Compare what Stream has of a subject with what is stored here."""
        app = self._stream.app
        actual: Any = (
            app.settings if subject.user_id is None else app.users.get(subject.user_id, {})
        )
        self._compare_devices(subject)
        if subject.erased:
            self._figures.erased += 1
            if not actual.get("deleted_at"):
                self._add_difference(f"{subject.path}: {actual} is not deleted")
            return
        target = APP if subject.user_id is None else Target(subject.user_id)
        with self._database.read() as connection:
            bound = standings.read(connection, target).stream_bound
        if subject.renewed_at >= (bound or 1):
            self._add_difference(f"{subject.path}: {bound}, renewed at {subject.renewed_at}")
        if actual.get(CUT_OFF) != rfc3339(bound):
            self._add_difference(
                f"{subject.path}: {actual.get(CUT_OFF)} instead of {rfc3339(bound)}"
            )
        if subject.names and actual.get("name") not in subject.names:
            self._add_difference(f"{subject.path}: {actual.get('name')} instead of {subject.names}")

    def _compare_devices(self, subject: Subject) -> None:
        if subject.user_id is not None:
            here = {device["id"] for device in self._stream.devices.of(subject.user_id)}
            self._figures.devices += len(subject.removed_devices)
            if left := here.intersection(subject.removed_devices):
                self._add_difference(f"{subject.path}: {left} are not removed")

    def wait_for_delivery(self, *, hurry: bool) -> None:
        """
        Let all users connect, and wait until Stream has all states.

        Args:
            hurry: Whether to change the times of deliveries instead of waiting.
        """
        for user_id in self._missing():
            self.connect(user_id)
        if hurry:
            # Only once, for the leases of killed processes: a running call needs its own lease.
            self._move_back("lease_until")
        wait_until(lambda: self._is_delivered(hurry), "all states are delivered", _DELIVERY_TIMEOUT)
        self._stream.calls.wait_until_done()

    def _deliveries_of(self, subject: Subject) -> list[tuple[rules.DeliveryKind, str]]:
        if subject.user_id is None:
            return [("app", rules.APP_SUBJECT)]
        if subject.erased:
            return [("erasure", subject.user_id)]
        return [("user", subject.user_id), ("profile", subject.user_id)]

    def _missing(self) -> list[str]:
        users = [subject.user_id for subject in self.subjects if subject.user_id]
        return [user_id for user_id in users if user_id not in self._stream.app.users]

    def _is_delivered(self, hurry: bool) -> bool:
        with self._database.read() as connection:
            waiting = store.listed(connection, kind=None, states=rules.OPEN_STATES, limit=1000)
        users = self._stream.app.users
        deleted = {user_id for user_id in users if users[user_id].get("deleted_at")}
        # What follows would wait for a week for a user whom a late call has deleted.
        waiting = [
            row
            for row in waiting
            if row.subject not in deleted
            or (row.kind == "erasure" and row.state is not DeliveryState.ABSENT)
        ]
        if waiting and hurry:
            self._stream.calls.wait_until_done()
            self._move_back("due_at", "resend_at", "absent_since")
        return not waiting

    def _move_back(self, *times: str) -> None:
        """Move times of all deliveries back, so that they are sent again."""
        with self._database.write() as tx:
            subjects = [subject.user_id or rules.APP_SUBJECT for subject in self.subjects]
            for kind in ("app", "profile", "erasure", "user"):  # in the order in which senders lock
                store.lock(tx, kind, subjects)
            columns = {name: deliveries.c[name] - rules.RESEND_SECONDS for name in times}
            tx.execute(deliveries.update().values(columns))

    def _add_difference(self, difference: str) -> None:
        self._figures.wrong_at_stream.append(difference)
