"""
Waiting for something outside the process: the announcement of a wait, and the bound on requests.

Code calls `may_block()` before each wait: for a database server, a lock of another process, a
cache, an HTTP server. The worker of `tokensvc.server` then lets another thread read from its
clients. Under any other server, and in a thread that serves no client, the call does nothing.

A request that waits for more than one statement of the database has one of the `WaitSlots`: it
signs in or up, or waits for an issuer or for Stream, and holds a thread that could mint.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal

RETRY_AFTER = 2


def _do_nothing() -> None:
    pass


_hook: Callable[[], None] = _do_nothing


def may_block() -> None:
    """Announce a wait."""
    _hook()


def set_hook(hook: Callable[[], None]) -> None:
    """Call `hook` at each `may_block()` from now on; for the server, once per process."""
    global _hook  # noqa: PLW0603 - one hook per process is the purpose
    _hook = hook


class NoWaitSlotError(Refusal):
    """Too many requests wait already."""

    def __init__(self) -> None:
        super().__init__(
            Code.TEMPORARILY_UNAVAILABLE,
            "Too many requests wait at the moment. Retry after `Retry-After` seconds.",
            reason="wait slots",
            retry_after=RETRY_AFTER,
        )


class WaitSlots:
    """
    Slots for requests that wait. A thread that has one gets no second one.

    Args:
        number: Number of requests that may wait at the same time.
        for_passwords: Part of them that only requests with a password use, so that users can sign
            in while a service outside does not respond.
        for_known: Part of them that only sign-ins at addresses use that the account knows, so that
            guesses do not stop users.
        for_outside: Part of them that passwords do not use, so that guesses do not stop the fetch
            of an issuer's keys.
    """

    def __init__(
        self, number: int, *, for_passwords: int = 0, for_known: int = 0, for_outside: int = 0
    ) -> None:
        self._free = number
        self._max_outside = number - for_passwords
        self._used_outside = 0
        self._for_known = for_known
        self._for_outside = for_outside
        self._mutex = threading.Lock()
        self._this_thread = threading.local()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """
        Hold a slot while the block waits for another service. The request's deadline waits too.

        Raises:
            NoWaitSlotError: No slot is free.
        """
        with self._hold(outside=True), deadline.suspended():
            yield

    @contextmanager
    def password(self, *, known: bool = False) -> Iterator[None]:
        """
        Hold a slot while the block hashes a password, and reads and writes what belongs to it.

        Args:
            known: Whether the account of the password knows the address.

        Raises:
            NoWaitSlotError: No slot is free.
        """
        with self._hold(leaving=0 if known else self._for_known):
            yield

    @contextmanager
    def _hold(self, *, leaving: int = 0, outside: bool = False) -> Iterator[None]:
        if getattr(self._this_thread, "has_slot", False):
            yield
            return
        with self._mutex:
            if outside:
                is_free = self._free > 0 and self._used_outside < self._max_outside
            else:
                unused_outside = max(0, self._for_outside - self._used_outside)
                is_free = self._free > leaving + unused_outside
            if not is_free:
                raise NoWaitSlotError
            self._free -= 1
            self._used_outside += outside
        self._this_thread.has_slot = True
        try:
            may_block()
            yield
        finally:
            self._this_thread.has_slot = False
            with self._mutex:
                self._free += 1
                self._used_outside -= outside
