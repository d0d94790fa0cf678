"""In-memory counters, flushed by a background loop."""

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from tokensvc.database.engine import Database, Transaction

Key = TypeVar("Key")


class PendingWrites(Generic[Key]):
    """
    Numbers that are not in the database yet, so that no request writes one.

    A crash loses them and nothing else.

    Args:
        combine: Function of two numbers with the same key that returns the number to write.
        write_rows: Function that writes all numbers.
    """

    def __init__(
        self,
        database: Database,
        combine: Callable[[int, int], int],
        write_rows: Callable[[Transaction, Mapping[Key, int]], None],
    ) -> None:
        self._database = database
        self._combine = combine
        self._write_rows = write_rows
        self._lock = threading.Lock()
        self._pending: dict[Key, int] = {}

    def write(self) -> None:
        """
        Write the numbers in one transaction. After a failure they stay for the next call.

        If the reply to a commit is lost, its numbers are written twice.
        """
        with self._lock:
            written, self._pending = self._pending, {}
        if not written:
            return
        try:
            with self._database.write() as tx:
                self._write_rows(tx, written)
        except BaseException:
            for key, number in written.items():
                self.add(key, number)
            raise

    def add(self, key: Key, number: int) -> None:
        """Keep a number until the next write."""
        with self._lock:
            before = self._pending.get(key)
            self._pending[key] = number if before is None else self._combine(before, number)
