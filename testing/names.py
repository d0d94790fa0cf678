"""A name server that does not respond, for the look-ups of this process."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

_look_up = socket.getaddrinfo


class HeldLookUps:
    """
    Look-ups that wait.

    Attributes:
        names: Names that were looked up, in order.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._over = threading.Event()

    def look_up(self, host: str, *arguments: Any, **options: Any) -> Any:
        if _is_address(host):
            return _look_up(host, *arguments, **options)
        self.names.append(host)
        self._over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def release(self) -> None:
        """Let all look-ups fail, as they do after the timeout of the system."""
        self._over.set()


@contextlib.contextmanager
def silent_name_server() -> Iterator[HeldLookUps]:
    """Let every look-up of a name wait until the block ends."""
    held = HeldLookUps()
    with mock.patch.object(socket, "getaddrinfo", held.look_up):
        try:
            yield held
        finally:
            held.release()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
