"""
Hashes of passwords: argon2id in a fixed number of threads.

Each hash needs 19 MiB, so the number of threads bounds the memory, whatever the number of sign-ins.
A sign-in waits for a thread for a short time, then it is refused. Source of the parameters: OWASP
Password Storage Cheat Sheet.
"""

import secrets
import timeit
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

import structlog

from tokensvc.accounts.passwords.argon2_build import exceptions, low_level
from tokensvc.accounts.passwords.foreign_hashes import check_hash, not_computed, verify_hash
from tokensvc.accounts.passwords.rules import normalize
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots

_MEMORY_KIB, _PASSES, _PARALLELISM = 19 * 1024, 2, 1
_SALT_BYTES, _HASH_BYTES = 16, 32
_PREFIX = f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_PARALLELISM}$"

MAX_WAIT = 2.0
"""Seconds that a request waits for a thread."""
RETRY_AFTER = 2

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class HashingPool:
    """
    Threads that hash.

    Args:
        threads: Number of threads; the workers of a host together need one per core.
        wait_slots: Slots for requests that hash or wait for a thread.
        max_wait: Seconds that a request waits for a thread.
    """

    def __init__(self, threads: int, wait_slots: WaitSlots, *, max_wait: float = MAX_WAIT) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="hashing")
        self.wait_slots = wait_slots
        self._max_wait = max_wait

    def run(self, work: Callable[[], T]) -> T:
        """
        Return the result of work done in one of the threads.

        Raises:
            Refusal: `temporarily_unavailable` if no thread was free in time, or too many requests
                wait already.
        """
        with self.wait_slots.password():
            future = self._executor.submit(work)
            try:
                return future.result(self._max_wait)
            except TimeoutError:
                if future.cancel():
                    raise _busy() from None
                return future.result()  # it has a thread, and ends soon

    def close(self) -> None:
        """Stop the threads after their current work."""
        self._executor.shutdown(cancel_futures=True)


class PasswordHasher:
    """
    Hashes and verifies passwords in the threads of a pool.

    An unknown user costs as much as a wrong password: it is compared with a hash that no password
    has. `hash` and `verify` raise what `HashingPool.run` raises.
    """

    def __init__(self, pool: HashingPool) -> None:
        self._pool = pool
        self._unmatched = _PREFIX + "$".join(
            b64encode(secrets.token_bytes(size)).rstrip(b"=").decode("ascii")
            for size in (_SALT_BYTES, _HASH_BYTES)
        )

    def wait_slot(self, *, known: bool = False) -> AbstractContextManager[None]:
        """
        Hold a slot for waiting requests during the whole work that belongs to a hash.

        Args:
            known: Whether the account of the password knows the address.

        Raises:
            NoWaitSlotError: No slot is free.
        """
        return self._pool.wait_slots.password(known=known)

    def hash(self, password: str) -> str:
        """Return a new hash of a password, as a PHC string."""
        return self._pool.run(partial(_hash, normalize(password).encode("utf-8")))

    def verify(self, stored: str | None, password: str) -> bool:
        """
        Return whether a password is the one of a stored hash.

        Args:
            stored: Hash of this service or of another system; `None` for an unknown user.
        """
        usable = stored if stored is not None and _is_usable(stored) else self._unmatched
        return self._pool.run(partial(verify_hash, usable, password))


def needs_rehash(stored: str) -> bool:
    """Return whether a hash has other parameters than those of this service."""
    return not stored.startswith(_PREFIX)


def milliseconds_per_hash() -> float:
    """Return what a hash takes on this host: the fastest of five."""
    return min(timeit.repeat(partial(_hash, b"password"), repeat=5, number=1)) * 1000


def _hash(password: bytes) -> str:
    try:
        made = low_level.hash_secret(
            password,
            secrets.token_bytes(_SALT_BYTES),
            time_cost=_PASSES,
            memory_cost=_MEMORY_KIB,
            parallelism=_PARALLELISM,
            hash_len=_HASH_BYTES,
            type=low_level.Type.ID,
        )
    except exceptions.HashingError as error:
        raise not_computed(error) from error
    return made.decode("ascii")


def _is_usable(stored: str) -> bool:
    """Return whether a stored hash is supported; the import has checked it."""
    try:
        check_hash(stored)
    except ValueError as error:
        _log.error("password_hash_unusable", detail=str(error))
        return False
    return True


def _busy() -> Refusal:
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "Too many sign-ins at the moment. Retry after `Retry-After` seconds.",
        reason="hashing",
        retry_after=RETRY_AFTER,
    )
