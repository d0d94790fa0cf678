"""
Random orders of actions, calls, crashes and late effects, against a Stream of one value.

Only the rules are tested, with senders that use them as `Sender` does. Checked is that while a
delivery is `applied`, Stream has the current state and no call in progress can change that, and
that the delivery becomes `applied` when failures end.
"""

import random
from dataclasses import dataclass, replace

import pytest

from tokensvc.stream.delivery import rules
from tokensvc.stream.delivery.rules import OPEN_STATES, Delivery, DeliveryState
from tokensvc.stream.responses import CallStatus, StreamResponse

HISTORIES = 6_000
"""Twice as many as find the rarest violation of `test_each_rule_is_necessary`."""
START = 1_800_000_000
RESULTS = [CallStatus.DONE] * 6 + [CallStatus.UNKNOWN] * 4
RESULTS += [CallStatus.NOT_DELIVERED, CallStatus.REFUSED, CallStatus.NOT_ATTEMPTED]
LANDS = ["now", "late", "never"]
WAITS = [0.3, 1, 5, 29, 31, 31, 59, 61, 61, 61]


@dataclass
class Holder:
    """
    A sender that has, or had, the row's lease.

    Attributes:
        leased: Row as it was leased.
        result: Result of the call, after the call.
    """

    leased: Delivery
    value: int
    result: CallStatus | None = None


@dataclass
class UnderWay:
    """A call whose response was lost and that may take effect."""

    value: int
    until: float


class History:
    """One row, its Stream, and random events. The value is the number of actions."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.events: list[str] = []
        self.now = float(START)
        self.value = 1
        self.at_stream = 0
        self.holders: list[Holder] = []
        self.under_way: list[UnderWay] = []
        self.row = Delivery(
            kind="user",
            subject="ada",
            version=1,
            applied_version=0,
            state=DeliveryState.PENDING,
            due_at=START,
            lease_until=None,
            attempts=0,
            resend_at=None,
            absent_since=None,
            last_error=None,
            updated_at=START,
            late_since=START,
        )

    def run(self, steps: int) -> None:
        choices = [self.act, self.wait, self.claim, self.claim, self.call, self.call]
        choices += [self.settle, self.settle, self.crash, self.land]
        for _ in range(steps):
            event = self.rng.choice(choices)
            self.events.append(event.__name__)
            event()
            self.check()
        self.end_well()

    def check(self) -> None:
        # The call of a suspended sender is noticed when it applies the result.
        slept = any(holder.result and not self.is_holder(holder) for holder in self.holders)
        if self.row.state is DeliveryState.APPLIED and not slept:
            values = {self.at_stream, *(call.value for call in self.under_way)}
            assert values == {self.value}, self.events

    def act(self) -> None:
        self.value += 1
        self.row = rules.mark_changed(self.row, self.now, resend=False)

    def wait(self) -> None:
        self.pass_time(self.rng.choice(WAITS))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.under_way = [call for call in self.under_way if call.until > self.now]

    def claim(self) -> None:
        row = self.row
        is_due = row.state in OPEN_STATES and row.due_at <= self.now
        if is_due and (row.lease_until is None or row.lease_until <= self.now):
            self.row = rules.lease(row, self.now)
            self.hold()

    def call(self) -> None:
        """Send what was read, perhaps long ago."""
        ready = [holder for holder in self.holders if holder.result is None]
        if ready:
            holder = self.one_of(ready)
            holder.result = self.rng.choice(RESULTS)
            if holder.result in {CallStatus.DONE, CallStatus.UNKNOWN}:
                self.go_out(holder, "now" if holder.result is CallStatus.DONE else None)

    def settle(self) -> None:
        called = [holder for holder in self.holders if holder.result is not None]
        if called:
            holder = self.one_of(called)
            self.holders.remove(holder)
            self.pass_time(self.rng.choice([0.0, 0.1, 5.0]))
            self.row = rules.apply_outcome(
                self.row,
                holder.leased,
                StreamResponse(holder.result or CallStatus.DONE),
                now=self.now,
                random_fraction=self.rng.random(),
                cut_off=START,
            )

    def crash(self) -> None:
        """Kill a sender after it has sent the call."""
        if self.holders:
            holder = self.holders[-1]
            # A sender that has lost its lease and dies between two lines cannot be noticed.
            if self.is_holder(holder):
                self.holders.remove(holder)
                if holder.result is None:
                    self.go_out(holder, None)

    def land(self) -> None:
        if self.under_way:
            call = self.under_way.pop(self.rng.randrange(len(self.under_way)))
            self.at_stream = call.value

    def end_well(self) -> None:
        """End all failures: Stream gets the latest state and keeps it."""
        for _ in range(20):
            for holder in self.holders:
                if holder.result is None:
                    holder.result = CallStatus.DONE
                    self.go_out(holder, "now")
            while self.holders:
                self.settle()
            while self.under_way:
                self.land()
            if self.row.state not in OPEN_STATES:
                break
            self.pass_time(
                max(0, self.row.due_at - self.now, (self.row.lease_until or 0) - self.now)
            )
            self.claim()
        assert self.row.state is DeliveryState.APPLIED, self.events
        self.check()

    def hold(self) -> None:
        self.holders.append(Holder(self.row, self.value))

    def go_out(self, holder: Holder, lands: str | None) -> None:
        lands = lands or self.rng.choice(LANDS)
        if lands == "now":
            self.at_stream = holder.value
        elif lands == "late":
            self.under_way.append(UnderWay(holder.value, self.now + rules.RESEND_SECONDS))

    def one_of(self, holders: list[Holder]) -> Holder:
        """Prefer the latest, so that the others are suspended for long."""
        return holders[-1] if self.rng.random() < 0.8 else self.rng.choice(holders)

    def is_holder(self, holder: Holder) -> bool:
        return holder.leased.lease_until == self.row.lease_until


def histories(number: int) -> None:
    for seed in range(number):
        History(random.Random(seed)).run(60)


def test_applied_is_correct_and_is_reached():
    histories(HISTORIES)


def forget_resend(monkeypatch):
    done = rules._done
    monkeypatch.setattr(
        rules, "_done", lambda row, leased: done(replace(row, resend_at=None), leased)
    )


def forget_lost_leases(monkeypatch):
    lease = rules.lease
    monkeypatch.setattr(rules, "lease", lambda row, now: lease(replace(row, lease_until=None), now))


def forget_the_lease(monkeypatch):
    apply_outcome = rules.apply_outcome

    def of_any_lease(row, leased, response, **rest):
        return apply_outcome(row, replace(leased, lease_until=row.lease_until), response, **rest)

    monkeypatch.setattr(rules, "apply_outcome", of_any_lease)


def forget_the_version(monkeypatch):
    apply_outcome = rules.apply_outcome

    def of_any_version(row, leased, response, **rest):
        return apply_outcome(row, replace(leased, version=row.version), response, **rest)

    monkeypatch.setattr(rules, "apply_outcome", of_any_version)


@pytest.mark.parametrize(
    "forget", [forget_resend, forget_lost_leases, forget_the_lease, forget_the_version]
)
def test_each_rule_is_necessary(forget, monkeypatch):
    """Without the rule some history breaks the promise."""
    forget(monkeypatch)
    with pytest.raises(AssertionError):
        histories(HISTORIES)
