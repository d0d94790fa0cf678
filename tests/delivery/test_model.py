"""
Any order of acts, calls, crashes and late landings, against a Stream of one value.

The rules alone, with senders that do what `Sender` does with them. What is checked: while a
delivery is `applied`, Stream holds the current state and nothing under way can change that; and
when failures end, it gets there.
"""

import random
from dataclasses import dataclass, replace

import pytest

from tokensvc.delivery import rules
from tokensvc.delivery.outcome import Outcome, Result
from tokensvc.delivery.rules import Delivery, DeliveryState, Sent

START = 1_800_000_000
OPEN = {DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.ABSENT}
RESULTS = [Result.DONE] * 6 + [Result.UNKNOWN] * 4 + [Result.NOT_DELIVERED, Result.REFUSED]
RESULTS += [Result.NOT_ATTEMPTED]
LANDS = ["now", "late", "never"]
WAITS = [0.3, 1, 5, 29, 31, 31, 59, 61, 61, 61]


@dataclass
class Holder:
    """
    A sender that holds, or held, the row.

    Attributes:
        result: What came of its call, once it has called.
    """

    sent: Sent
    value: int
    result: Result | None = None


@dataclass
class UnderWay:
    """A call whose answer was lost, and which may land."""

    value: int
    until: float


class History:
    """One row, its Stream, and what chance does to them. Its value is the number of acts."""

    def __init__(self, random_fraction: random.Random) -> None:
        self.random_fraction = random_fraction
        self.told: list[str] = []
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
        )

    def run(self, steps: int) -> None:
        events = [self.act, self.wait, self.claim, self.claim, self.call, self.call]
        events += [self.settle, self.settle, self.crash, self.renew, self.land]
        for _ in range(steps):
            event = self.random_fraction.choice(events)
            self.told.append(event.__name__)
            event()
            self.check()
        self.end_well()

    def check(self) -> None:
        # What a sender that slept has sent shows when it writes that down.
        slept = any(each.result and not self.is_holder(each) for each in self.holders)
        if self.row.state is DeliveryState.APPLIED and not slept:
            values = {self.at_stream, *(call.value for call in self.under_way)}
            assert values == {self.value}, self.told

    def act(self) -> None:
        self.value += 1
        self.row = rules.mark_changed(self.row, self.now, resend=False)

    def wait(self) -> None:
        self.pass_time(self.random_fraction.choice(WAITS))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.under_way = [call for call in self.under_way if call.until > self.now]

    def claim(self) -> None:
        row = self.row
        is_due = row.state in OPEN and row.due_at <= self.now
        if is_due and (row.lease_until is None or row.lease_until <= self.now):
            self.row = rules.lease(row, self.now)
            self.hold()

    def renew(self) -> None:
        for holder in self.holders:
            if self.is_holder(holder) and holder.result is None:
                self.holders.remove(holder)
                self.row = rules.renewed(self.row, self.now)
                self.hold()
                return

    def call(self) -> None:
        """Send what was read, which may be long ago."""
        ready = [holder for holder in self.holders if holder.result is None]
        if ready:
            holder = self.one_of(ready)
            holder.result = self.random_fraction.choice(RESULTS)
            if holder.result in {Result.DONE, Result.UNKNOWN}:
                self.go_out(holder, "now" if holder.result is Result.DONE else None)

    def settle(self) -> None:
        called = [holder for holder in self.holders if holder.result is not None]
        if called:
            holder = self.one_of(called)
            self.holders.remove(holder)
            self.pass_time(self.random_fraction.choice([0.0, 0.1, 5.0]))
            self.row = rules.apply_outcome(
                self.row,
                holder.sent,
                Outcome(holder.result or Result.DONE),
                now=self.now,
                random_fraction=self.random_fraction.random(),
                cut_off=START,
            )

    def crash(self) -> None:
        """Be killed when the call has gone out."""
        if self.holders:
            holder = self.holders[-1]
            # Who lost the lease and dies between two lines of code leaves nothing to be found.
            if self.is_holder(holder):
                self.holders.remove(holder)
                if holder.result is None:
                    self.go_out(holder, None)

    def land(self) -> None:
        if self.under_way:
            call = self.under_way.pop(self.random_fraction.randrange(len(self.under_way)))
            self.at_stream = call.value

    def end_well(self) -> None:
        """When nothing fails any more, Stream gets the latest state and keeps it."""
        for _ in range(20):
            for holder in self.holders:
                if holder.result is None:
                    holder.result = Result.DONE
                    self.go_out(holder, "now")
            while self.holders:
                self.settle()
            while self.under_way:
                self.land()
            if self.row.state not in OPEN:
                break
            self.pass_time(
                max(0, self.row.due_at - self.now, (self.row.lease_until or 0) - self.now)
            )
            self.claim()
        assert self.row.state is DeliveryState.APPLIED, self.told
        self.check()

    def hold(self) -> None:
        assert self.row.lease_until is not None
        sent = Sent(self.row.version, self.row.lease_until, self.now)
        self.holders.append(Holder(sent, self.value))

    def go_out(self, holder: Holder, lands: str | None) -> None:
        lands = lands or self.random_fraction.choice(LANDS)
        if lands == "now":
            self.at_stream = holder.value
        elif lands == "late":
            self.under_way.append(UnderWay(holder.value, self.now + rules.RESEND_SECONDS))

    def one_of(self, holders: list[Holder]) -> Holder:
        """Let those sleep who came first, mostly."""
        return (
            holders[-1]
            if self.random_fraction.random() < 0.8
            else self.random_fraction.choice(holders)
        )

    def is_holder(self, holder: Holder) -> bool:
        return holder.sent.lease_until == self.row.lease_until


def histories(number: int) -> None:
    for seed in range(number):
        History(random.Random(seed)).run(60)


def test_applied_is_true_and_reached():
    """`applied` is never said too early, and comes when failures end."""
    histories(20_000)


def forget_resend(monkeypatch):
    done = rules._done
    monkeypatch.setattr(rules, "_done", lambda row, sent: done(replace(row, resend_at=None), sent))


def forget_lost_leases(monkeypatch):
    lease = rules.lease
    monkeypatch.setattr(rules, "lease", lambda row, now: lease(replace(row, lease_until=None), now))


def forget_whose_it_is(monkeypatch):
    apply_outcome = rules.apply_outcome

    def of_anybody(row, sent, outcome, **rest):
        return apply_outcome(row, replace(sent, lease_until=row.lease_until), outcome, **rest)

    monkeypatch.setattr(rules, "apply_outcome", of_anybody)


def forget_the_version(monkeypatch):
    apply_outcome = rules.apply_outcome

    def of_any_version(row, sent, outcome, **rest):
        return apply_outcome(row, replace(sent, version=row.version), outcome, **rest)

    monkeypatch.setattr(rules, "apply_outcome", of_any_version)


@pytest.mark.parametrize(
    "forget",
    [
        forget_resend,
        forget_lost_leases,
        forget_whose_it_is,
        forget_the_version,
    ],
)
def test_each_rule_is_needed(forget, monkeypatch):
    """Each of these keeps the promise: without it some history breaks it."""
    forget(monkeypatch)
    with pytest.raises(AssertionError):
        histories(20_000)
