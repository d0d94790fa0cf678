"""Control of a Node process that runs the JavaScript SDK or the package of `clients/js`."""

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from testing.node import PACKAGES

TIMEOUT = 60
"""Maximum seconds of a command. The SDK's own limits are 15."""


class SdkError(Exception):
    """
    A rejection of the SDK or of the package.

    Attributes:
        code: Code of Stream or of a problem.
        kind: What the app does about it, if it is an error of the package.
        retry_after: Seconds to wait, likewise.
    """

    def __init__(
        self,
        message: str,
        code: Any = None,
        kind: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
        self.retry_after = retry_after


class Driver:
    """
    A Node process with one client, as a context manager.

    Args:
        node: Path of the executable, with the packages installed.
        script: Name of the script next to them, and its arguments.
    """

    def __init__(self, node: Path, script: str = "driver.mjs", *arguments: str) -> None:
        self._process = subprocess.Popen(
            [node, PACKAGES / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._ids = itertools.count()
        self._pending: dict[int, Future[Any]] = {}
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def begin(self, command: str, **parameters: Any) -> Future[Any]:
        """Start a command and return its future result."""
        result: Future[Any] = Future()
        number = next(self._ids)
        self._pending[number] = result
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({"id": number, "do": command, "with": parameters}) + "\n"
        )
        self._process.stdin.flush()
        return result

    def call(self, command: str, **parameters: Any) -> Any:
        """
        Run a command and return its result.

        Raises:
            SdkError: The command was rejected.
        """
        return self.begin(command, **parameters).result(timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=TIMEOUT)
        for reader in self._readers:
            reader.join(timeout=TIMEOUT)
        self._process.stdout.close()
        self._process.stderr.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            reply = json.loads(line)
            waiting = self._pending.pop(reply["id"])
            if "error" in reply:
                waiting.set_exception(SdkError(**reply["error"]))
            else:
                waiting.set_result(reply["value"])
        for waiting in self._pending.values():  # the process has ended
            waiting.set_exception(SdkError("Node ended:\n" + "".join(self._errors)))

    def _read_errors(self) -> None:
        self._errors.extend(self._process.stderr)
