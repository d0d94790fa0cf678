"""The worker under gunicorn: start, reload, stop, and what it uses of gunicorn."""

import ast
import contextlib
import http.client
import inspect
import pydoc
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.http_client import Client
from testing.raw import connect, converse
from testing.service import ROOT, Service, running_service, settings_environ
from tests.server.conftest import wait_until
from tokensvc.server import GUNICORN_NAMES, worker


class Clients:
    """Clients that keep their connections and send request after request."""

    def __init__(self, service: Service, count: int = 8) -> None:
        self._address = service.base_url.removeprefix("http://")
        self._is_over = threading.Event()
        self.reconnects = True
        self.responses = 0
        self.failures: list[str] = []
        self._served: set[int] = set()
        self._threads = [threading.Thread(target=self._send) for _ in range(count)]

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        while not self._is_over.is_set():
            try:
                connection.request("GET", "/healthz")
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                break
            self.responses += 1
            self._served.add(threading.get_ident())
            if response.will_close and not self.reconnects:
                break
        connection.close()

    @contextlib.contextmanager
    def sending(self) -> Iterator["Clients"]:
        for thread in self._threads:
            thread.start()
        try:
            # Each has its connection: one that connects after a stop would be refused.
            wait_until(lambda: len(self._served) == len(self._threads))
            yield self
            wait_until(lambda before=self.responses: self.has_ended() or self.responses > before)
        finally:
            self._is_over.set()
            for thread in self._threads:
                thread.join()

    def has_ended(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)


def test_reload_fails_no_request(tmp_path: Path) -> None:
    """Clients with open connections notice nothing while both workers are replaced."""
    with running_service(tmp_path, TOKENSVC_WORKERS="2") as service:
        wait_until(lambda: len(service.worker_pids()) == 2)
        before = set(service.worker_pids())
        with Clients(service).sending() as clients:
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(now := set(service.worker_pids())) == 2 and not now & before)
        assert clients.failures == []


def test_stop_fails_no_request(tmp_path: Path) -> None:
    with running_service(tmp_path) as service, Clients(service).sending() as clients:
        clients.reconnects = False
        assert service.stop() == 0
    assert clients.failures == []


def test_worker_is_replaced_after_its_last_request(tmp_path: Path) -> None:
    with running_service(tmp_path, GUNICORN_CMD_ARGS="--max-requests 200") as service:
        (before,) = service.worker_pids()
        with Clients(service).sending() as clients:
            wait_until(lambda: before not in service.worker_pids() and service.worker_pids() != [])
        assert clients.failures == []


@pytest.mark.sec(65)
def test_worker_whose_lead_hangs_is_replaced(tmp_path: Path) -> None:
    """The heartbeat stops with the lead, so gunicorn ends the worker."""
    hang = tmp_path / "hang"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "from tokensvc.server.lead import Lead\n"
        "begin = Lead.begin\n"
        "def hang_once(self, job):\n"
        f"    if os.path.exists({str(hang)!r}):\n"
        f"        os.remove({str(hang)!r})\n"
        "        time.sleep(3600)\n"
        "    return begin(self, job)\n"
        "Lead.begin = hang_once\n"
    )
    with running_service(
        tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}", GUNICORN_CMD_ARGS="--timeout 2"
    ) as service:
        before = service.worker_pids()
        hang.touch()
        with connect(service.base_url) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: service.worker_pids() not in ([], before))
        assert Client(service.base_url).get("/healthz").status == 200


def test_metrics_count_busy_threads_and_open_connections_of_each_worker(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nfrom tokensvc.ops import contract\n"
        "contract.contract_bytes = lambda: time.sleep(3600)\n"
    )
    operator = {"Authorization": "Bearer a-metrics-token-of-the-test-service"}
    with running_service(
        tmp_path,
        PYTHONPATH=f"{tmp_path}:{ROOT}",
        TOKENSVC_METRICS__TOKEN=operator["Authorization"].removeprefix("Bearer "),
        TOKENSVC_STOP_TIMEOUT="1",
    ) as service:
        client = Client(service.base_url)

        def is_shown(name: str, *values: str) -> bool:
            lines = client.get("/metrics", headers=operator).body.decode().splitlines()
            return any(f'tokensvc_{name}{{worker="1"}} {value}' in lines for value in values)

        with contextlib.ExitStack() as stack:
            for _ in range(2):
                sock = stack.enter_context(connect(service.base_url))
                sock.sendall(b"GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: is_shown("threads_busy", "2.0", "3.0"))  # the request itself counts
            wait_until(lambda: is_shown("connections_open", "3.0"))


def test_tls_is_refused_at_start(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "-c", "python:tokensvc.gunicorn_conf"),
            *(f"--certfile={certificate}", f"--keyfile={certificate}", "tokensvc.wsgi:app"),
        ],
        cwd=ROOT,
        env=settings_environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "does not serve TLS" in done.stderr


def test_other_workers_of_gunicorn_serve_the_application(tmp_path: Path) -> None:
    """The application is plain WSGI: it reads the body from `wsgi.input` wherever it runs."""
    chunked = (
        b"POST /v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\n[\r\n0\r\n\r\n"
    )
    with running_service(tmp_path, GUNICORN_CMD_ARGS="--worker-class gthread") as service:
        assert Client(service.base_url).get("/healthz").status == 200
        (response,) = converse(service.base_url, chunked)
        assert response.status == 400
        assert Client(service.base_url).get("/v1/token").code == "credentials_missing"


def names_used() -> set[str]:
    """Return the names that the package imports from gunicorn."""
    used = set()
    for path in (ROOT / "tokensvc" / "server").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gunicorn"):
                used |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("gunicorn") for alias in node.names)
    return used


def test_names_of_gunicorn_are_listed_and_unchanged() -> None:
    assert names_used() <= GUNICORN_NAMES.keys()
    for name, parameters in GUNICORN_NAMES.items():
        found = pydoc.locate(name)
        assert found is not None, name
        if parameters is not None:
            assert tuple(inspect.signature(found).parameters) == parameters, name


@pytest.mark.parametrize(
    ("limits", "connections", "set_to"),
    [
        ((100_000, 100_000), 1000, None),
        ((256, 100_000), 1000, 1000 + worker._OTHER_FILES),
        ((256, resource.RLIM_INFINITY), 1000, 1000 + worker._OTHER_FILES),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1000, None),
        ((256, worker._OTHER_FILES + 300), 300, worker._OTHER_FILES + 300),
        ((100, 100), 25, 100),
    ],
)
def test_file_limit_bounds_the_connections(
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[int, int],
    connections: int,
    set_to: int | None,
) -> None:
    """A worker without a file limit, and one with a tiny limit, still accept connections."""
    changes: list[int] = []
    monkeypatch.setattr(worker.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(worker.resource, "setrlimit", lambda _, new: changes.append(new[0]))
    assert worker._raise_file_limit(1000) == connections
    assert changes == ([] if set_to is None else [set_to])


@pytest.mark.sec(65)
def test_few_file_descriptors_are_reported_at_the_start_and_when_used_up(tmp_path: Path) -> None:
    """Connections are closed with a warning: one line says how many fit, one that all are used."""
    limited = ["prlimit", "--nofile=64:64"]
    with running_service(tmp_path, limited) as service, contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(service.base_url))
        wait_until(lambda: "connections_full" in service.log_path.read_text())
        lines = service.log_lines()
        (started,) = (line for line in lines if line["event"] == "connections_limited")
        assert (started["level"], started["connections"]) == ("warning", 16)
        assert started["max_connections"] == 1000
        assert "LimitNOFILE" in started["hint"]
        (full,) = (line for line in lines if line["event"] == "connections_full")
        assert full["level"] == "warning"
        assert Client(service.base_url).get("/healthz").status == 200
