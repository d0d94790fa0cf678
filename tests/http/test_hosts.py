"""Accepted host names."""

import pytest

from testing.http_client import Client
from tests.http.conftest import METRICS_PORT, Log, Probe
from tokensvc.http.hosts import Hosts, check_name


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
    """A request for another host gets 400 on every path; the log names the setting."""
    response = Client(probe.app()).get(path, headers={"Host": "evil.example"})
    assert (response.status, response.code) == (400, "malformed_request")
    assert "hosts.allowed" in log.lines[-1]["reason"]


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


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_accept_any_host(client: Client, path: str) -> None:
    """Load balancers and kubelets use the address."""
    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status == 200


def test_metrics_port_accepts_any_host(probe: Probe) -> None:
    """Prometheus uses the address."""
    client = Client(probe.app(), SERVER_PORT=str(METRICS_PORT))
    assert client.get("/metrics", headers={"Host": "10.1.2.3:9100"}).status == 200
