"""
The one bound on requests that wait for more than one statement of the database.

Each such request holds a thread that could mint: it signs in or up, or waits for an issuer or for
Stream.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokensvc.core import deadline
from tokensvc.core.blocking import may_block
from tokensvc.core.errors import Code, Refusal

RETRY_AFTER = 2


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
