"""Accepted host names."""

import pytest

from testing.http_client import Client
from tests.http.conftest import METRICS_PORT, Log, Probe
from tokensvc.http.hosts import Hosts, check_name
from tokensvc.http.recorder import MAX_VALUES


@pytest.mark.sec(55)
@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("tokens.example", True),
        ("tokens.example:443", True),
        ("TOKENS.example", True),
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("", False),
        ("evil.example", False),
        ("tokens.example.evil.example", False),
        ("tokens.example@evil.example", False),
        ("tokens.example:443@evil.example", False),
        ("tokens.example, evil.example", False),
        ("tokens.example/", False),
        ("tokens.example:port", False),
        ("tokens.example.", False),
        (":8000", False),
    ],
)
def test_default_hosts_are_public_url_and_loopback(host: str, *, ours: bool) -> None:
    assert Hosts("https://tokens.example", []).include(host) is ours


def test_configured_hosts_replace_the_default() -> None:
    hosts = Hosts("https://tokens.example", ["Chat.example", "10.0.2.2"])
    assert [hosts.include(name) for name in ("chat.example", "10.0.2.2:8000")] == [True, True]
    assert not hosts.include("tokens.example")


@pytest.mark.parametrize(
    "name", ["https://a.example", "a.example:80", "a.example/x", "*", "", "*.a.example"]
)
def test_invalid_host_name_is_refused(name: str) -> None:
    """A scheme, port, path or wildcard is not part of a host name."""
    with pytest.raises(ValueError, match="is not a host name"):
        check_name(name)


@pytest.mark.sec(55)
@pytest.mark.parametrize("path", ["/v1/token", "/docs", "/openapi.yaml", "/metrics"])
def test_other_host_gets_400(log: Log, probe: Probe, path: str) -> None:
    """A request for another host gets 400 on every path."""
    response = Client(probe.app()).get(path, headers={"Host": "evil.example"})
    assert (response.status, response.code) == (400, "malformed_request")
    assert log.lines[-1]["reason"] == "host not allowed"


def refused_hosts(log: Log) -> list[str]:
    return [line["host"] for line in log.lines if line["event"] == "host_refused"]


@pytest.mark.sec(55, 58)
def test_refused_host_is_logged_once_with_the_setting(log: Log, probe: Probe) -> None:
    """Without its port. A malformed one is not logged."""
    client = Client(probe.app())
    for host in ("other.example", "OTHER.example:8443", "third.example", "evil\x1b[2J", "a" * 300):
        for _ in range(2):
            assert client.get("/v1/token", headers={"Host": host}).status == 400
    assert refused_hosts(log) == ["other.example", "third.example"]
    hints = {line["hint"] for line in log.lines if line["event"] == "host_refused"}
    assert hints == {"If clients use it, add it to `hosts.allowed`."}


@pytest.mark.sec(55)
def test_number_of_logged_hosts_is_bounded(log: Log, probe: Probe) -> None:
    client = Client(probe.app())
    for number in range(MAX_VALUES + 10):
        client.get("/v1/token", headers={"Host": f"h{number}.example"})
    assert len(refused_hosts(log)) == MAX_VALUES


@pytest.mark.sec(55)
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://evil.example/v1/token", 400),
        ("http://localhost:8000/v1/token", 200),
        ("http://LocalHost:8000/v1/token", 200),
        ("http://localhost:8001/v1/token", 400),
    ],
)
def test_absolute_target_with_another_host_gets_400(probe: Probe, target: str, status: int) -> None:
    """An absolute target overrides Host (RFC 9112 section 3.2.2)."""
    assert Client(probe.app(), RAW_URI=target).get("/v1/token").status == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz/instance"])
def test_probes_accept_any_host(client: Client, path: str) -> None:
    """Load balancers and kubelets use the address."""
    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status == 200


def test_metrics_port_accepts_any_host(probe: Probe) -> None:
    """Prometheus uses the address."""
    client = Client(probe.app(), SERVER_PORT=str(METRICS_PORT))
    assert client.get("/metrics", headers={"Host": "10.1.2.3:9100"}).status == 200
