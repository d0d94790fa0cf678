"""What is counted, and that the figures of many processes stay together."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tokensvc.telemetry import metrics, multiprocess


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("count", "name", "labels"),
    [
        (
            lambda: metrics.count_request("/v1/token", "POST", "200", 0.003),
            "tokensvc_requests_total",
            {"route": "/v1/token", "method": "POST", "status": "200"},
        ),
        (
            lambda: metrics.count_request("unmatched", "BREW", "405", 0.003),
            "tokensvc_requests_total",
            {"route": "unmatched", "method": "other", "status": "405"},
        ),
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
            lambda: metrics.count_refusal("user_suspended"),
            "tokensvc_refusals_total",
            {"code": "user_suspended"},
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
        (metrics.count_limiter_fallback, "tokensvc_limiter_fallbacks_total", {}),
    ],
)
def test_each_call_counts_one(count: Callable[[], None], name: str, labels: dict[str, str]) -> None:
    """A call adds one under its labels, the first time and later."""
    before = figure(name, **labels)
    count()
    count()
    assert figure(name, **labels) == before + 2


def test_strange_methods_make_no_series() -> None:
    """A stranger who invents methods does not invent time series."""
    for number in range(100):
        metrics.count_request("unmatched", f"M{number}", "405", 0.001)
    methods = {
        sample.labels["method"]
        for family in metrics.REQUESTS.collect()
        for sample in family.samples
    }
    assert methods <= {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "other"}


def test_figures_are_rendered_for_prometheus() -> None:
    """The answer is what the library's own parser reads."""
    metrics.count_refusal("rate_limited")
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert "tokensvc_refusals" in names


WORKER = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from tokensvc.telemetry import metrics
for _ in range(int(sys.argv[2])):
    metrics.count_request("/v1/token", "POST", "200", 0.003)
print(os.getpid())
"""

MASTER = """
import os, sys
from pathlib import Path
from tokensvc.telemetry import multiprocess
(Path(sys.argv[1]) / "counter_1.db").write_bytes(b"left over")
multiprocess.prepare(sys.argv[1])
"""

ARCHIVE = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from tokensvc.telemetry import multiprocess
multiprocess.archive(int(sys.argv[2]))
"""

ARCHIVE_WHILE_READ = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from tokensvc.telemetry import multiprocess
with multiprocess.reading(sys.argv[1]):
    multiprocess.archive(int(sys.argv[2]))
multiprocess.archive(int(sys.argv[3]))
"""


def run(program: str, *arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def scrape(folder: Path) -> tuple[str, ...]:
    """Give the lines of the requests' figures, as a fresh worker renders them."""
    body = run(
        """
        import os, sys
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
        from tokensvc.telemetry import metrics
        print(metrics.render()[0].decode())
        """,
        folder,
    )
    return tuple(line for line in body.splitlines() if line.startswith("tokensvc_request"))


def archive(folder: Path, pid: str) -> None:
    run(ARCHIVE, folder, pid)


def test_figures_survive_their_workers(tmp_path: Path) -> None:
    """Workers add up; a dead one's figures move to the archive, and no total ever falls."""
    run(MASTER, tmp_path)
    first, second = (run(WORKER, tmp_path, count) for count in (3, 4))
    together = scrape(tmp_path)
    assert 'tokensvc_requests_total{method="POST",route="/v1/token",status="200"} 7.0' in together
    assert 'tokensvc_request_seconds_bucket{le="0.005",route="/v1/token"} 7.0' in together
    for pid in (first, second, first):  # archived twice counts once
        archive(tmp_path, pid)
        assert sorted(scrape(tmp_path)) == sorted(together)
    assert not list(tmp_path.glob(f"*_{first}.db")) + list(tmp_path.glob(f"*_{second}.db"))


def test_files_do_not_pile_up(tmp_path: Path) -> None:
    """However many workers came and went, a scrape reads two files for them."""
    run(MASTER, tmp_path)
    for _ in range(5):
        archive(tmp_path, run(WORKER, tmp_path, 1))
    kept = {path.name for path in tmp_path.glob("*.db")}
    assert kept == {"counter_archive.db", "histogram_archive.db"}
    assert any(line.endswith(" 5.0") for line in scrape(tmp_path))


def test_a_start_begins_with_no_files(tmp_path: Path) -> None:
    """What an earlier life left behind is no part of this one."""
    run(MASTER, tmp_path)
    assert not list(tmp_path.glob("*.db"))


def test_a_worker_killed_at_its_start_does_not_stop_the_scrape(tmp_path: Path) -> None:
    """A file that was made and never filled is swept away."""
    run(MASTER, tmp_path)
    (tmp_path / "counter_4711.db").touch()
    archive(tmp_path, "4711")
    run(WORKER, tmp_path, 2)
    assert any(line.endswith(" 2.0") for line in scrape(tmp_path))


def test_nothing_is_moved_while_a_scrape_reads(tmp_path: Path) -> None:
    """Else a figure would count twice or not at all; the master does not wait for a worker."""
    run(MASTER, tmp_path)
    first, second = (run(WORKER, tmp_path, 1) for _ in range(2))
    with multiprocess.reading(tmp_path):
        archive(tmp_path, first)
        assert (tmp_path / f"counter_{first}.db").exists()
    run(ARCHIVE_WHILE_READ, tmp_path, first, second)
    assert not (tmp_path / f"counter_{first}.db").exists()
    assert not (tmp_path / f"counter_{second}.db").exists()
    assert any(line.endswith(" 2.0") for line in scrape(tmp_path))
