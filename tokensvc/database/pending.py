"""In-memory counters, flushed by a background loop."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from tokensvc.database.engine import Database, Transaction

Key = TypeVar("Key")


class PendingWrites(ABC, Generic[Key]):
    """
    Numbers that are not in the database yet, so that no request writes one.

    A crash loses them and nothing else.

    Args:
        combine: Function of two numbers with the same key that returns the number to write.
    """

    def __init__(self, database: Database, combine: Callable[[int, int], int]) -> None:
        self._database = database
        self._combine = combine
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
                self._add(key, number)
            raise

    def _add(self, key: Key, number: int) -> None:
        with self._lock:
            before = self._pending.get(key)
            self._pending[key] = number if before is None else self._combine(before, number)

    @abstractmethod
    def _write_rows(self, tx: Transaction, numbers: Mapping[Key, int]) -> None:
        """Write all numbers."""
