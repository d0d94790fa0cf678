"""
Name look-ups and TCP connections, bounded by a deadline.

The system's look-up has no time limit, and drivers of databases and caches call it without one: so
every outgoing connection looks its host up here.
"""

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeAlias

from tokensvc.core.addresses import Address
from tokensvc.core.deadline import SHORTEST, Deadline

CheckAddresses: TypeAlias = Callable[[str, list[Address]], list[Address]]
"""Return the addresses of a host that may be used."""


def connect(
    host: str,
    port: int,
    deadline: Deadline,
    check_addresses: CheckAddresses = lambda _host, addresses: addresses,
) -> socket.socket:
    """
    Connect to the first allowed address of a host that accepts a connection.

    Args:
        check_addresses: Filter for the addresses of the host; accepts all by default.

    Raises:
        OSError: No connection was established before the deadline.
    """
    allowed = check_addresses(host, look_up(host, port, deadline))
    failure: OSError | None = None
    for left, address in zip(range(len(allowed), 0, -1), allowed, strict=True):
        timeout = deadline.remaining() / left or SHORTEST
        try:
            return socket.create_connection((str(address), port), timeout=timeout)
        except OSError as error:
            failure = error
    raise failure or OSError("no address")


_SHARED_SECONDS = 1.0
"""
Age until which callers share a look-up.

So a name server that does not respond costs one thread a second, and once it responds again no
caller waits for the old look-ups: the system repeats an unanswered question only after 5 seconds.
"""


class _LookUp(Future[Sequence[str]]):
    """A running look-up."""

    def __init__(self) -> None:
        super().__init__()
        self.shared_until = time.monotonic() + _SHARED_SECONDS


_look_ups: dict[tuple[int, str, int], _LookUp] = {}
"""
The latest running look-ups, by process, host and port.

A forked process has none of the threads, hence the process ID.
"""


def look_up(host: str, port: int, deadline: Deadline) -> list[Address]:
    """
    Return the addresses of a host, without duplicates.

    Raises:
        OSError: The name has no address, or the name server did not respond before the deadline.
    """
    try:
        found = _shared_look_up(host, port).result(timeout=deadline.remaining())
    except TimeoutError:
        raise OSError(f"the name look-up of {host} takes too long") from None
    return [ipaddress.ip_address(text) for text in dict.fromkeys(found)]


def _shared_look_up(host: str, port: int) -> _LookUp:
    """Return the running look-up of a host, or start one in a thread of its own."""
    key = os.getpid(), host, port
    running = _look_ups.get(key)
    if running is not None and time.monotonic() < running.shared_until:
        return running
    started = _look_ups[key] = _LookUp()  # no lock, which a fork could copy while it is held

    def run() -> None:
        found, failure = [], None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure = OSError(str(error)) if isinstance(error, UnicodeError) else error
        _forget(key, started)  # before the result: who has it may look the name up again
        if failure is not None:
            started.set_exception(failure)
        else:
            started.set_result([str(info[4][0]) for info in found])

    try:
        threading.Thread(target=run, name="name-look-up", daemon=True).start()
    except RuntimeError as error:  # the system allows no more threads
        _forget(key, started)
        started.set_exception(OSError(str(error)))
    return started


def _forget(key: tuple[int, str, int], ended: _LookUp) -> None:
    if _look_ups.get(key) is ended:
        _look_ups.pop(key, None)
