"""Waiting for a condition, with a limit."""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import urllib3


def wait_until(
    condition: Callable[[], object], what: str, timeout: float = 60.0, pause: float = 0.02
) -> None:
    """
    Wait until a condition is true.

    Args:
        condition: Function that returns whether to stop.
        what: Description of the condition, for the failure.
        timeout: Maximum seconds.
        pause: Seconds between two calls of the condition.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s: {what}"
        time.sleep(pause)


def has_ended(pid: int) -> bool:
    """Return whether a process has ended, also if no parent has waited for it."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_available(url: str) -> bool:
    """Return whether a URL responds with status 200."""
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        headers = {"Connection": "close"}
        response = urllib3.request("GET", url, headers=headers, retries=False, timeout=2.0)
        return response.status == 200
    return False


def is_listening(port: int) -> bool:
    """Return whether a port on 127.0.0.1 accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2.0):
        return True
    return False
