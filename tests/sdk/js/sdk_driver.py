"""The unmodified JavaScript SDK at a test's word: a Node process that runs `driver.mjs`."""

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

SCRIPT = Path(__file__).with_name("driver.mjs")
PATIENCE = 60
"""Seconds after which an answer will not come: the SDK's own limits are 15."""


class SdkError(Exception):
    """
    What the SDK, or a provider, rejected with.

    Attributes:
        code: Stream's code, or a problem's.
    """

    def __init__(self, message: str, code: Any = None) -> None:
        super().__init__(message)
        self.code = code


class Driver:
    """
    One Node process with one client; a context manager.

    Args:
        node: The executable.
    """

    def __init__(self, node: Path) -> None:
        self._process = subprocess.Popen(
            [node, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", SCRIPT],
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
        """Start a command, and give what will be its answer."""
        answer: Future[Any] = Future()
        number = next(self._ids)
        self._pending[number] = answer
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({"id": number, "do": command, "with": parameters}) + "\n"
        )
        self._process.stdin.flush()
        return answer

    def call(self, command: str, **parameters: Any) -> Any:
        """
        Run a command to its end.

        Raises:
            SdkError: It rejected.
        """
        return self.begin(command, **parameters).result(timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE)
        for reader in self._readers:
            reader.join(timeout=PATIENCE)
        self._process.stdout.close()
        self._process.stderr.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._pending.pop(answer["id"])
            if "error" in answer:
                waiting.set_exception(SdkError(**answer["error"]))
            else:
                waiting.set_result(answer["value"])
        for waiting in self._pending.values():  # the process is gone
            waiting.set_exception(SdkError("Node ended:\n" + "".join(self._errors)))

    def _read_errors(self) -> None:
        self._errors.extend(self._process.stderr)
