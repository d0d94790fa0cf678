"""The lead: exactly one thread has it, whatever the order of claims."""

import threading
import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tokensvc.server.lead import PATIENCE, Lead, Member, Role


class FakeMember(Member[int]):
    """A thread that does not exist: waking it makes it the leader."""

    def __init__(self) -> None:
        super().__init__()
        self.role: Role | None = None
        self.running: int | None = None

    def wake(self) -> None:
        assert self.role is Role.WAIT
        self.role = Role.LEAD


class Threads(RuleBasedStateMachine):
    """Threads that join, run jobs, wait and are watched in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.is_watched = False
        self.lead: Lead[int] = Lead(self._wake_watchdog, lambda: self.now)
        self.members: list[FakeMember] = []
        self.jobs, self.queued, self.started = 0, [], []

    def _wake_watchdog(self) -> None:
        self.is_watched = True

    def leader(self) -> FakeMember | None:
        return next((member for member in self.members if member.role is Role.LEAD), None)

    def free(self, member: FakeMember) -> None:
        member.running, member.role = None, None
        member.role = self.lead.join(member)
        if member.role is Role.RUN:
            assert member.job == self.queued.pop(0)
            member.running = member.job
            self.started.append(member.job)

    @rule()
    def join(self) -> None:
        self.members.append(FakeMember())
        self.free(self.members[-1])

    @rule()
    def begin(self) -> None:
        leader = self.leader()
        if leader is None or leader.running is not None:
            return
        self.jobs += 1
        may_run = any(member.role is Role.WAIT for member in self.members)
        assert self.lead.begin(self.jobs) is may_run
        if may_run:
            leader.running = self.jobs
            self.started.append(self.jobs)
        else:
            self.queued.append(self.jobs)

    @rule(index=st.integers(0, 20))
    def wait(self, index: int) -> None:
        """Make a running thread wait: another one leads then. A leader without a job continues."""
        running = [member for member in self.members if member.running is not None]
        if running:
            member = running[index % len(running)]
            if member.role is Role.LEAD:
                member.role = Role.RUN
            self.lead.give_up(member)
        elif (leader := self.leader()) is not None:
            self.lead.give_up(leader)

    @rule(index=st.integers(0, 20))
    def end(self, index: int) -> None:
        """End a job. A leader without one still leads."""
        awake = [
            member
            for member in self.members
            if member.running is not None or member.role is Role.LEAD
        ]
        if not awake:
            return
        member = awake[index % len(awake)]
        if self.lead.end(member):
            assert member.role is Role.LEAD
            member.running = None
        else:
            assert member.role is Role.RUN
            self.free(member)

    @rule(seconds=st.sampled_from([0.001, PATIENCE]))
    def watch(self, seconds: float) -> None:
        self.now += seconds
        leader = self.leader()
        is_running = leader is not None and leader.running is not None
        if is_running:
            assert self.is_watched
            leader.role = Role.RUN
        remaining = self.lead.watch()
        if remaining is None:
            assert not is_running
            self.is_watched = False
        elif remaining > 0:
            leader.role = Role.LEAD

    @rule(index=st.integers(0, 20))
    def withdraw(self, index: int) -> None:
        if self.queued:
            assert self.lead.withdraw(self.queued.pop(index % len(self.queued)))
        assert not any(self.lead.withdraw(job) for job in self.started)

    @invariant()
    def one_thread_leads(self) -> None:
        leaders = [member for member in self.members if member.role is Role.LEAD]
        assert len(leaders) == bool(self.members)

    @invariant()
    def no_job_waits_while_a_thread_is_idle(self) -> None:
        assert not (self.queued and any(member.role is Role.WAIT for member in self.members))

    @invariant()
    def no_job_runs_twice(self) -> None:
        assert len(set(self.started)) == len(self.started)


test_one_thread_leads_in_any_order = pytest.mark.sec(65)(Threads.TestCase)


class RealThreads:
    """Threads that run 300 jobs, of which some wait and some take longer than the patience."""

    def __init__(self) -> None:
        self.lead: Lead[int] = Lead(lambda: None)
        self.jobs = iter(range(300))
        self.leading: list[Member[int]] = []
        self.ran: list[int] = []
        self.crowds: list[int] = []

    def serve(self) -> None:
        member: Member[int] = Member()
        while (role := self.lead.claim(member)) is not Role.STOP:
            if role is Role.RUN:
                self.run(member, member.job)
            else:
                while self.step(member):
                    pass

    def step(self, member: Member[int]) -> bool:
        self.leading.append(member)
        self.crowds.append(len(self.leading))
        job = next(self.jobs, None)
        self.leading.remove(member)
        if job is None:
            time.sleep(0.001)
            if len(self.ran) < 300:
                return True
            self.lead.stop()
            return False
        if not self.lead.begin(job):
            return True
        self.run(member, job)
        return self.lead.end(member)

    def run(self, member: Member[int], job: int) -> None:
        if job % 3 == 0:
            self.lead.give_up(member)
            time.sleep(0.001)
        if job % 7 == 0:
            time.sleep(2 * PATIENCE)
        self.ran.append(job)


@pytest.mark.sec(65)
def test_threads_lead_one_at_a_time_and_run_each_job_once() -> None:
    real = RealThreads()
    threads = [threading.Thread(target=real.serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        real.lead.watch()
        time.sleep(PATIENCE / 2)
    assert sorted(real.ran) == list(range(300))
    assert set(real.crowds) == {1}
