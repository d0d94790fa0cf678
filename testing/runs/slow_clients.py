"""
Other clients are served while slow clients attack.

Each attack goes on for some seconds. Meanwhile one client requests `/healthz` and a token in turn,
each on a new connection, and measures how long that takes. The attacks of `slowhttptest` are made
by that tool where it is installed.
"""

import contextlib
import http.client
import itertools
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from testing.doubles.issuer import IssuerDouble
from testing.raw import connect
from testing.service import NO_LIMITS, STREAM_API_KEY, Service, running_service

TOOL = "slowhttptest"
MEDIAN, WORST = 0.1, 0.5
"""Accepted seconds of a response to another client."""
_COUNT = 64
"""Clients of an attack: more than the threads of a worker."""
_LIMIT = 400
"""Connections that the service keeps open."""
_PAUSE = 0.05
_HEAD = b"POST /v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Figures:
    """
    The responses to other clients during one attack.

    Attributes:
        name: Name of the attack.
        seconds: Seconds of each response, by what was requested.
        failures: Responses that were not 200, and broken connections.
    """

    name: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all requests had a response in time."""
        return not self.failures and all(
            median(times) <= MEDIAN and max(times) <= WORST for times in self.seconds.values()
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        parts = [
            f"{what} {median(times) * 1e3:6.1f} ms, worst {max(times) * 1e3:6.1f} of {len(times)}"
            for what, times in self.seconds.items()
        ]
        yield f"  {self.name:<32} {'; '.join(parts)}"
        if self.failures:
            yield f"  {len(self.failures)} failed, the first: {self.failures[0]}"


Attack = Callable[[Service, float], contextlib.AbstractContextManager[None]]


def prove(seconds: float) -> Iterator[Figures]:
    """Yield the figures of each attack, which goes on for some seconds."""
    attacks = dict(ATTACKS)
    if shutil.which(TOOL) is not None:
        attacks |= {f"{TOOL} {mode}": _tool(*options) for mode, options in _TOOL_MODES.items()}
    with (
        tempfile.TemporaryDirectory() as folder,
        IssuerDouble() as issuer,
        running_service(
            Path(folder),
            TOKENSVC_ISSUERS=json.dumps([issuer.config()]),
            TOKENSVC_MAX_CONNECTIONS=str(_LIMIT),
            **NO_LIMITS,
        ) as service,
    ):
        _Client(service, issuer, Figures("warm-up")).watch(1.0)
        for name, attack in attacks.items():
            figures = Figures(name)
            with attack(service, seconds):
                _Client(service, issuer, figures).watch(seconds)
            yield figures


class _Client:
    def __init__(self, service: Service, issuer: IssuerDouble, figures: Figures) -> None:
        self._address = service.base_url.removeprefix("http://")
        self._issuer = issuer
        self._figures = figures

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            headers = {
                "Authorization": f"Bearer {self._issuer.token()}",
                "Content-Type": "application/json",
            }
            self._request("healthz", "GET", "/healthz", {})
            self._request("mint", "POST", "/v1/token", headers)
            time.sleep(_PAUSE)

    def _request(self, what: str, method: str, path: str, headers: dict[str, str]) -> None:
        body = json.dumps({"api_key": STREAM_API_KEY}) if method == "POST" else None
        connection = http.client.HTTPConnection(self._address, timeout=5)
        start = time.perf_counter()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self._figures.failures.append(f"{what}: {error!r}")
            return
        finally:
            self._figures.seconds.setdefault(what, []).append(time.perf_counter() - start)
            connection.close()
        if response.status != 200:
            self._figures.failures.append(f"{what}: {response.status}")


@contextlib.contextmanager
def dripping(
    base_url: str, start: bytes, rest: bytes, count: int = _COUNT, pause: float = 0.2
) -> Iterator[None]:
    """Run clients that send a start, then byte after byte, and begin again when refused."""
    is_over = threading.Event()

    def send() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError), connect(base_url) as sock:
                sock.sendall(start)
                for byte in itertools.cycle(rest):
                    if is_over.wait(pause):
                        break
                    sock.sendall(bytes([byte]))

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _drip(start: bytes, rest: bytes) -> Attack:
    return lambda service, _: dripping(service.base_url, start, rest)


@contextlib.contextmanager
def _read_nothing(service: Service, seconds: float) -> Iterator[None]:
    host, _, port = service.base_url.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(_COUNT):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect((host, int(port)))
            sock.sendall(_HEALTHZ.replace(b"healthz", b"openapi.yaml") * 40)
        yield


@dataclass(frozen=True, slots=True)
class _Idle:
    """As many idle connections as the limit, and some more that send nothing."""

    silent: int

    @contextlib.contextmanager
    def __call__(self, service: Service, seconds: float) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for _ in range(_LIMIT):
                sock = stack.enter_context(connect(service.base_url))
                sock.sendall(_HEALTHZ)
                sock.recv(4096)
            for _ in range(self.silent):
                stack.enter_context(connect(service.base_url))
            yield


def _tool(*options: str) -> Attack:
    @contextlib.contextmanager
    def attack(service: Service, seconds: float) -> Iterator[None]:
        path = "/openapi.yaml" if "-X" in options else "/v1/token"
        process = subprocess.Popen(
            [
                *(TOOL, *options, "-c", str(_LIMIT), "-r", "200", "-l", str(int(seconds))),
                *("-u", f"{service.base_url}{path}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    return attack


_EXPECT = _HEAD + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
ATTACKS: dict[str, Attack] = {
    "chunked bodies that drip": _drip(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n400\r\n", b" "),
    "Expect without a body": _drip(_EXPECT, b" "),
    "clients that read nothing": _read_nothing,
    "heads that drip": _drip(_HEAD + b"X-Slow: ", b"a"),
    "idle connections, limit + 1": _Idle(1),
    "idle connections, limit + 30": _Idle(30),
}
_TOOL_MODES = {
    "slow heads": ("-H", "-i", "1", "-x", "24"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192", "-x", "10"),
    "slow reads": ("-X", "-w", "10", "-y", "20", "-n", "2", "-z", "32", "-k", "3"),
}
"""Options of the tool, by what is slow."""
