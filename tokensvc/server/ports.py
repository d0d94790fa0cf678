"""
Whether this process can listen on an address.

Gunicorn tries five times, a second apart, and does not say what to change.
"""

import errno
import os
import socket


class CannotListenError(Exception):
    """The process cannot listen; the message tells the operator what to change."""


def check_can_listen(address: str, setting: str) -> None:
    """
    Check that gunicorn can listen on an address, unless it inherits its sockets.

    Args:
        address: `host:port`.
        setting: Name of the setting that contains it.

    Raises:
        CannotListenError: It cannot.
    """
    if "GUNICORN_FD" in os.environ or os.environ.get("LISTEN_PID") == str(os.getpid()):
        return  # from the master that it replaces (SIGUSR2), or from systemd
    try:
        listen_briefly(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = f"address in use. Stop the other process or change `{setting}`."
        else:
            problem = f"{error.strerror}. Change `{setting}`."
        raise CannotListenError(f"Cannot listen on {address}: {problem}") from error


def listen_briefly(address: str) -> None:
    """
    Bind a socket to `host:port` with gunicorn's options, and close it. No client can connect.

    Raises:
        OSError: The address cannot be used, or another process listens on it.
    """
    family, endpoint = endpoint_of(address)
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(endpoint)


def endpoint_of(address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Return the address family of `host:port`, and host and port as a socket needs them."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return family, (host.strip("[]"), int(port))
