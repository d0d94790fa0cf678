"""Counting, and the totals of several processes."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tokensvc.telemetry import metrics


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("count", "name", "labels"),
    [
        (
            lambda: metrics.count_request("/v1/me", "GET", "200", 0.003),
            "tokensvc_request_seconds_count",
            {"route": "/v1/me"},
        ),
        (
            lambda: metrics.count_mint("acme", named=True),
            "tokensvc_mints_total",
            {"issuer": "acme", "key": "named"},
        ),
        (
            lambda: metrics.count_mint("service", named=False),
            "tokensvc_mints_total",
            {"issuer": "service", "key": "unnamed"},
        ),
        (
            lambda: metrics.count_auth_failure("basic"),
            "tokensvc_auth_failures_total",
            {"credential": "basic"},
        ),
        (
            lambda: metrics.count_stream_call("user", "key_refused"),
            "tokensvc_stream_calls_total",
            {"kind": "user", "result": "key_refused"},
        ),
        (
            lambda: metrics.count_jwks_fetch("acme", "failed"),
            "tokensvc_jwks_fetches_total",
            {"issuer": "acme", "outcome": "failed"},
        ),
        (
            lambda: metrics.count_limit_hit("mint"),
            "tokensvc_limits_hit_total",
            {"policy": "mint"},
        ),
        (metrics.count_limiter_fallback, "tokensvc_limiter_fallbacks_total", {}),
    ],
)
def test_each_call_counts_one(count: Callable[[], None], name: str, labels: dict[str, str]) -> None:
    before = figure(name, **labels)
    count()
    count()
    assert figure(name, **labels) == before + 2


def test_metrics_are_rendered_for_prometheus() -> None:
    """The library's own parser reads them."""
    metrics.count_refusal("rate_limited")
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert "tokensvc_refusals" in names


WORKER = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from tokensvc.telemetry import gauges, metrics
for _ in range(int(sys.argv[2])):
    metrics.count_request("/v1/token", "POST", "200", 0.003)
gauges.set_worker_load(threads_busy=2, connections_open=7)
gauges.set_check("database", int(sys.argv[2]))
gauges.set_loop("delivery", due_at=1000 + int(sys.argv[2]), failing=False)
print("counted", flush=True)
sys.stdin.read()
"""

SCRAPE = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from tokensvc.telemetry import metrics
print(metrics.render()[0].decode())
"""

FORK = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from tokensvc.telemetry import metrics
metrics.count_limiter_fallback()
if os.fork() == 0:
    metrics.count_limiter_fallback()
    os._exit(0)
os.wait()
metrics.count_limiter_fallback()
"""


@contextmanager
def worker(folder: Path, requests: int) -> Iterator[subprocess.Popen[str]]:
    """Run a worker that has counted so many requests."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(requests)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "counted\n"
        yield process
        process.kill()


def run(program: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True
    ).stdout


def requests_counted(folder: Path) -> int:
    """Return the sum over all workers, as a scrape shows it."""
    found = re.search(r"^tokensvc_requests_total{.*} (.*)$", run(SCRAPE, folder), re.MULTILINE)
    assert found
    return int(float(found[1]))


def test_scrape_adds_up_live_and_ended_workers(tmp_path: Path) -> None:
    """Each live worker has files of its own; the figures of an ended one stay in the total."""
    with worker(tmp_path, 3):
        with worker(tmp_path, 4):
            assert requests_counted(tmp_path) == 7
        assert requests_counted(tmp_path) == 7


def test_new_worker_continues_the_files_of_an_ended_one(tmp_path: Path) -> None:
    """The number of files does not grow with the number of workers that have ended."""
    for _ in range(4):
        with worker(tmp_path, 2):
            pass
    names = {path.name for path in tmp_path.glob("*.db")}
    gauges = {f"gauge_{mode}_0.db" for mode in ("livemax", "livemin", "livesum")}
    assert names == {"counter_0.db", "histogram_0.db"} | gauges
    assert requests_counted(tmp_path) == 8


def test_threads_of_a_process_take_one_slot(tmp_path: Path) -> None:
    """The first calls can be simultaneous."""
    threads = (
        "import os, sys, threading, time\n"
        "from tokensvc.telemetry import multiprocess\n"
        "os.environ[multiprocess.DIRECTORY_VARIABLE] = sys.argv[1]\n"
        "take = multiprocess._take\n"
        "multiprocess._take = lambda path: (time.sleep(0.2), take(path))[1]\n"
        "threads = [threading.Thread(target=multiprocess.slot) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n"
    )
    run(threads, tmp_path)
    assert [path.name for path in tmp_path.glob("*.lock")] == ["slot_0.lock"]


def test_forked_worker_counts_in_files_of_its_own(tmp_path: Path) -> None:
    """The master and its workers never write the same file."""
    run(FORK, tmp_path)
    assert {path.name for path in tmp_path.glob("counter_*")} == {"counter_0.db", "counter_1.db"}
    assert "tokensvc_limiter_fallbacks_total 3.0" in run(SCRAPE, tmp_path)


def test_gauges_of_ended_workers_are_removed(tmp_path: Path) -> None:
    """Also that of a worker whose slot no other one has taken."""
    with worker(tmp_path, 1), worker(tmp_path, 1):
        assert 'tokensvc_connections_open{worker="1"} 7.0' in run(SCRAPE, tmp_path)
    assert "tokensvc_connections_open{" not in run(SCRAPE, tmp_path)


def test_scrape_has_the_worst_of_what_live_workers_find(tmp_path: Path) -> None:
    with worker(tmp_path, 1):
        with worker(tmp_path, 2):
            scrape = run(SCRAPE, tmp_path)
            assert 'tokensvc_check{check="database"} 2.0' in scrape
            assert 'tokensvc_loop_due_timestamp_seconds{loop="delivery"} 1001.0' in scrape
        assert 'tokensvc_check{check="database"} 1.0' in run(SCRAPE, tmp_path)


def test_worker_killed_before_its_first_write_does_not_break_the_scrape(tmp_path: Path) -> None:
    """The next worker fills the empty file that an ended one left."""
    (tmp_path / "counter_0.db").touch()
    with worker(tmp_path, 2):
        assert requests_counted(tmp_path) == 2
