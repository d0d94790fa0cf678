"""
Run a program through the server of `testing.warm_start`: socket, then the words of its command.

It stands in for Python or the console script in shell lines, so it imports little.
"""

import json
import os
import signal
import socket
import sys
from types import FrameType


def main(path: str, *command: str) -> int:
    """Run the program with the files of this process, and return its exit status."""
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes long to import
    environ = dict(os.environ)
    request = {"command": command, "cwd": folder, "environ": environ, "python": sys.executable}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(path)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        pid = int(connection.recv(100))

        def pass_on(number: int, _: FrameType | None) -> None:
            os.kill(pid, number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, pass_on)
        status = int(connection.recv(100))
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
