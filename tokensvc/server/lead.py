"""
Which thread polls the connections: the Leader/Followers pattern.

One thread, the leader, polls and reads. It also runs the request that it has read, because waking
another thread takes longer. If the request must wait (`give_up`), or runs for longer than
`PATIENCE` (`watch`), an idle thread becomes the leader. If no thread is idle, the leader queues
requests instead of running them, so that there is always a leader.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

PATIENCE = 0.005
"""Seconds for which a request may hold the lead."""

Job = TypeVar("Job")


class Role(Enum):
    """What a thread does next."""

    LEAD = auto()
    RUN = auto()
    WAIT = auto()
    STOP = auto()


class Member(Generic[Job]):
    """A thread that can lead."""

    def __init__(self) -> None:
        self.job: Job | None = None  # to run in the role `RUN`
        self._turn = threading.Lock()
        self._turn.acquire()

    def wait(self) -> None:
        """Sleep until another thread calls `wake`."""
        self._turn.acquire()

    def wake(self) -> None:
        """End `wait`."""
        self._turn.release()


class Lead(Generic[Job]):
    """
    The leader, the idle threads and the queue of jobs without a thread.

    Args:
        wake_watchdog: Function that makes the watchdog call `watch` again.
        clock: Seconds on a monotonic clock.
    """

    def __init__(
        self, wake_watchdog: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wake_watchdog = wake_watchdog
        self._clock = clock
        self._mutex = threading.Lock()
        self._leader: Member[Job] | None = None
        self._idle: list[Member[Job]] = []
        self._queue: deque[Job] = deque()
        self._started: float | None = None  # when the leader began to run a job
        self._is_watched = False
        self._has_stopped = False

    def claim(self, member: Member[Job]) -> Role:
        """Sleep until there is something to do, and return the role; never `WAIT`."""
        role = self.join(member)
        if role is not Role.WAIT:
            return role
        member.wait()
        return Role.STOP if self._has_stopped else Role.LEAD

    def join(self, member: Member[Job]) -> Role:
        """Return what a thread without a job does; in the role `WAIT` it must call `wait`."""
        with self._mutex:
            if self._has_stopped:
                return Role.STOP
            if self._queue:
                member.job = self._queue.popleft()
                return Role.RUN
            if self._leader is None:
                self._leader = member
                return Role.LEAD
            self._idle.append(member)
            return Role.WAIT

    def begin(self, job: Job) -> bool:
        """Return whether the leader runs the job now, then calls `end`; else it was queued."""
        with self._mutex:
            if not self._idle:
                self._queue.append(job)
                return False
            self._started = self._clock()
            if self._is_watched:
                return True
            self._is_watched = True
        self._wake_watchdog()
        return True

    def end(self, member: Member[Job]) -> bool:
        """Return whether the thread still leads; if so, it runs no job now."""
        with self._mutex:
            if self._leader is not member:
                return False
            self._started = None
            return True

    def give_up(self, member: Member[Job]) -> None:
        """Pass the lead on if the thread has it, and another one can take over."""
        if self._leader is not member:
            return
        with self._mutex:
            if self._leader is member and self._started is not None:
                self._pass_on()

    def watch(self) -> float | None:
        """
        Pass the lead on if a job has held it for `PATIENCE`.

        Returns:
            Seconds until the next call is due; `None`: `wake_watchdog` triggers it.
        """
        with self._mutex:
            if self._started is None:
                self._is_watched = False
                return None
            remaining = self._started + PATIENCE - self._clock()
            if remaining <= 0:
                self._pass_on()
            return max(remaining, 0.0)

    def waiting(self) -> int:
        """Return the number of threads that run no job; the leader may be one of them."""
        with self._mutex:
            return len(self._idle) + (self._leader is not None and self._started is None)

    def withdraw(self, job: Job) -> bool:
        """Remove a job from the queue; False if a thread has taken it."""
        with self._mutex:
            if job not in self._queue:
                return False
            self._queue.remove(job)
            return True

    def stop(self) -> None:
        """End every thread that is idle or becomes idle."""
        with self._mutex:
            self._has_stopped = True
            idle, self._idle = self._idle, []
        for member in idle:
            member.wake()

    def _pass_on(self) -> None:
        # Not empty: `begin` saw an idle thread, and only this removes one while a job runs.
        self._leader = self._idle.pop()
        self._started = None
        self._leader.wake()
