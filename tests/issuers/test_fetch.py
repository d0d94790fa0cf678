"""The bounded GET: what it connects to, what it takes, and when it gives up."""

import socket
import threading

import pytest
import trustme

from testing.doubles.issuer import IssuerDouble, answer, drip, redirect
from tests.issuers.conftest import NAME, secure_double
from tokensvc.issuers.settings import JwksSettings
from tokensvc.net import fetch
from tokensvc.net.addresses import Network
from tokensvc.net.fetch import MAX_BYTES, Deadline, Fetcher, FetchError


def networks(*cidrs: str) -> tuple[Network, ...]:
    return JwksSettings(allowed_networks=cidrs).allowed_networks


def failure(
    url: str, *, allowed: tuple[str, ...] = (), seconds: float = 60, **options: bool
) -> str:
    """Give why a URL cannot be fetched."""
    with pytest.raises(FetchError) as caught:
        Fetcher(networks(*allowed)).get(
            url, Deadline(seconds), loopback_allowed=options.get("loopback_allowed", True)
        )
    return str(caught.value)


@pytest.mark.sec(17)
def test_tls_is_verified(authority: trustme.CA, resolve: list[str]) -> None:
    """A certificate of a known authority for the URL's host is accepted, and nothing else."""
    with secure_double(authority, NAME, name=NAME) as known:
        resolve.append("127.0.0.1")
        document = Fetcher(networks("127.0.0.0/8")).get(
            known.jwks_uri, Deadline(60), loopback_allowed=False
        )
        assert b"key-0" in document
    with secure_double(authority, "other.example", name=NAME) as other_name:
        resolve.append("127.0.0.1")
        assert "CERTIFICATE_VERIFY_FAILED" in failure(other_name.jwks_uri, allowed=("127.0.0.0/8",))
    with secure_double(trustme.CA(), NAME, name=NAME) as unknown:
        resolve.append("127.0.0.1")
        assert "CERTIFICATE_VERIFY_FAILED" in failure(unknown.jwks_uri, allowed=("127.0.0.0/8",))


@pytest.mark.sec(17)
def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    authority: trustme.CA, resolve: list[str]
) -> None:
    """A name server that answers differently the second time (DNS rebinding) is not asked twice."""
    with (
        secure_double(authority, NAME, name=NAME, host="127.0.0.2") as issuer,
        IssuerDouble(host="127.0.0.1") as inside,
    ):
        resolve[:] = ["127.0.0.2", "127.0.0.1"]
        Fetcher(networks("127.0.0.2/32")).get(issuer.jwks_uri, Deadline(60), loopback_allowed=False)
        assert resolve == ["127.0.0.1"]
        assert inside.hits() == 0


@pytest.mark.sec(17)
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "0.0.0.0"],
)
def test_a_public_name_that_leads_inside_is_refused(address: str, resolve: list[str]) -> None:
    """Nothing is sent to private and metadata addresses, and the error names the setting."""
    resolve.append(address)
    why = failure(f"https://{NAME}/jwks.json")
    assert "not public" in why
    assert "jwks.allowed_networks" in why


@pytest.mark.sec(17)
def test_a_document_cannot_send_us_to_this_machine() -> None:
    """A loopback URL is fetched when the operator wrote it, not when a document named it."""
    with IssuerDouble() as local:
        assert "not public" in failure(local.jwks_uri, loopback_allowed=False)
        assert local.hits() == 0


@pytest.mark.sec(17)
@pytest.mark.parametrize(
    "url",
    [
        "http://id.acme.example/jwks.json",
        "ftp://127.0.0.1/jwks.json",
        "file:///etc/passwd",
        "https://user:password@id.acme.example/",
        "https://id.acme.example/\r\nX: y",
        "https://id.acme.example:port/",
        "https:///jwks.json",
        "//id.acme.example/jwks.json",
        "",
    ],
)
def test_only_plain_https_urls_are_fetched(url: str) -> None:
    """Other schemes, http to other hosts, credentials and control characters are refused."""
    assert failure(url).startswith("the URL")


@pytest.mark.sec(17)
def test_a_redirect_is_not_followed() -> None:
    """Not even to the same host."""
    with IssuerDouble() as issuer:
        issuer.fault = redirect("/elsewhere")
        assert "redirects are not followed" in failure(issuer.jwks_uri)
        assert issuer.hits("/elsewhere") == 0


@pytest.mark.sec(17)
@pytest.mark.parametrize(
    "chunk",
    [b"H", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 200 OK\r\n\r\n "],
    ids=["status line", "headers", "body"],
)
def test_a_server_that_drips_does_not_hold_a_fetch(chunk: bytes) -> None:
    """The deadline is one for all: bytes that go on coming do not move it."""
    over = threading.Event()
    with IssuerDouble() as issuer:
        issuer.fault = drip(over, chunk)
        assert failure(issuer.jwks_uri, seconds=0.4) == "it took longer than 0.4 s"
        over.set()


@pytest.mark.sec(17)
def test_a_server_that_says_nothing_does_not_hold_a_fetch() -> None:
    """Silence ends at the deadline."""
    with IssuerDouble() as issuer:
        issuer.gate = threading.Event()
        assert failure(issuer.jwks_uri, seconds=0.3) == "it took longer than 0.3 s"


@pytest.mark.sec(17)
def test_a_server_that_never_shakes_hands_does_not_hold_a_fetch(authority: trustme.CA) -> None:
    """TLS has no more time than the rest."""
    del authority
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        assert failure(url, seconds=0.3) == "it took longer than 0.3 s"


@pytest.mark.sec(17)
def test_the_largest_document_passes_and_one_byte_more_does_not() -> None:
    """256 KiB."""
    with IssuerDouble() as issuer:
        issuer.fault = answer(b" " * MAX_BYTES)
        got = Fetcher(()).get(issuer.jwks_uri, Deadline(60), loopback_allowed=True)
        assert len(got) == MAX_BYTES
        issuer.fault = answer(b" " * (MAX_BYTES + 1))
        assert "256 KiB" in failure(issuer.jwks_uri)


def test_a_name_that_does_not_exist_is_a_failed_fetch(resolve: list[str]) -> None:
    """The name server's own error is told."""
    resolve.append("no-such-host.invalid")
    assert "gaierror" in failure(f"https://{NAME}/")


def test_the_next_address_is_tried_when_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host with a dead address beside a living one is reached."""
    with IssuerDouble(host="127.0.0.1", name="localhost") as issuer:
        real = fetch.socket.getaddrinfo

        def both(_host, port, *args, **options):
            return [
                *real("127.0.0.9", port, *args, **options),
                *real("127.0.0.1", port, *args, **options),
            ]

        monkeypatch.setattr(fetch.socket, "getaddrinfo", both)
        got = Fetcher(()).get(issuer.jwks_uri, Deadline(60), loopback_allowed=True)
        assert b"key-0" in got
