"""Which names the service answers to."""

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
def test_default_names(host: str, *, ours: bool) -> None:
    """Without a setting these are the host of the public URL and the loopback names."""
    assert Hosts("https://tokens.example", []).include(host) is ours


def test_configured_names_replace_the_default() -> None:
    """A list of names is the whole list."""
    hosts = Hosts("https://tokens.example", ["Chat.example", "10.0.2.2"])
    assert [hosts.include(name) for name in ("chat.example", "10.0.2.2:8000")] == [True, True]
    assert not hosts.include("tokens.example")


@pytest.mark.parametrize(
    "name", ["https://a.example", "a.example:80", "a.example/x", "*", "", "*.a.example"]
)
def test_names_that_are_refused(name: str) -> None:
    """A name is a name: no scheme, port, path or wildcard."""
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
def test_an_absolute_target_names_the_same_host(probe: Probe, target: str, status: int) -> None:
    """A target with a host outranks Host (RFC 9112 section 3.2.2): the two must not differ."""
    assert Client(probe.app(), RAW_URI=target).get("/v1/token").status == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_asked_by_address(client: Client, path: str) -> None:
    """A load balancer and a kubelet do not know the service's name."""
    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status == 200


def test_the_metrics_port_takes_any_host(probe: Probe) -> None:
    """Prometheus asks by address."""
    client = Client(probe.app(), SERVER_PORT=str(METRICS_PORT))
    assert client.get("/metrics", headers={"Host": "10.1.2.3:9100"}).status == 200
