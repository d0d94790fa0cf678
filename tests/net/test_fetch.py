"""The bounded GET of a provider's document: addresses, responses, deadline."""

import socket
import threading

import pytest
import trustme

from testing.doubles.issuer import IssuerDouble, drip, redirect, respond_with
from testing.names import silent_name_server
from testing.waiting import wait_until
from tests.net.conftest import NAME, secure_double
from tokensvc.core.addresses import Network
from tokensvc.core.deadline import Deadline
from tokensvc.issuers.settings import JwksSettings
from tokensvc.net import connect
from tokensvc.net.fetch import FetchError, fetch


def networks(*cidrs: str) -> tuple[Network, ...]:
    return JwksSettings(allowed_networks=cidrs).allowed_networks


def failure(
    url: str, *, allowed: tuple[str, ...] = (), seconds: float = 60, **options: bool
) -> str:
    """Return the error of a URL that cannot be fetched."""
    with pytest.raises(FetchError) as caught:
        fetch(
            url,
            Deadline(seconds),
            allowed_networks=networks(*allowed),
            loopback_allowed=options.get("loopback_allowed", True),
        )
    return str(caught.value)


@pytest.mark.sec(17)
def test_certificate_must_be_trusted_and_name_the_host(
    authority: trustme.CA, resolve: list[str]
) -> None:
    with secure_double(authority, NAME, name=NAME) as known:
        resolve.append("127.0.0.1")
        document = fetch(
            known.jwks_uri,
            Deadline(60),
            allowed_networks=networks("127.0.0.0/8"),
            loopback_allowed=False,
        )
        assert b"key-0" in document
    with secure_double(authority, "other.example", name=NAME) as other_name:
        resolve.append("127.0.0.1")
        assert "CERTIFICATE_VERIFY_FAILED" in failure(other_name.jwks_uri, allowed=("127.0.0.0/8",))
    with secure_double(trustme.CA(), NAME, name=NAME) as unknown:
        resolve.append("127.0.0.1")
        assert "CERTIFICATE_VERIFY_FAILED" in failure(unknown.jwks_uri, allowed=("127.0.0.0/8",))


@pytest.mark.sec(17)
def test_name_is_looked_up_once(authority: trustme.CA, resolve: list[str]) -> None:
    """DNS rebinding: a second look-up could return another address than the checked one."""
    with (
        secure_double(authority, NAME, name=NAME, host="127.0.0.2") as issuer,
        IssuerDouble(host="127.0.0.1") as inside,
    ):
        resolve[:] = ["127.0.0.2", "127.0.0.1"]
        fetch(
            issuer.jwks_uri,
            Deadline(60),
            allowed_networks=networks("127.0.0.2/32"),
            loopback_allowed=False,
        )
        assert resolve == ["127.0.0.1"]
        assert inside.hits() == 0


@pytest.mark.sec(17)
def test_name_of_a_private_address_is_refused(resolve: list[str]) -> None:
    """The error names the setting."""
    resolve.append("169.254.169.254")
    why = failure(f"https://{NAME}/jwks.json")
    assert "not public" in why
    assert "jwks.allowed_networks" in why


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
def test_other_urls_than_https_are_refused(url: str) -> None:
    """Http to other hosts, credentials and control characters too."""
    assert failure(url).startswith("the URL")


@pytest.mark.sec(17)
def test_redirect_is_not_followed() -> None:
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
def test_dripping_server_is_cut_at_the_deadline(chunk: bytes) -> None:
    """Bytes that keep arriving do not move the deadline."""
    over = threading.Event()
    with IssuerDouble() as issuer:
        issuer.fault = drip(over, chunk)
        assert failure(issuer.jwks_uri, seconds=0.4) == "no complete response within 0.4 s"
        over.set()


@pytest.mark.sec(17)
def test_silent_server_is_cut_at_the_deadline() -> None:
    with IssuerDouble() as issuer:
        issuer.gate = threading.Event()
        assert failure(issuer.jwks_uri, seconds=0.3) == "no complete response within 0.3 s"


@pytest.mark.sec(17)
def test_tls_handshake_is_cut_at_the_deadline(authority: trustme.CA) -> None:
    del authority
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        assert failure(url, seconds=0.3) == "no complete response within 0.3 s"


@pytest.mark.sec(17)
def test_document_is_limited_to_256_kib() -> None:
    with IssuerDouble() as issuer:
        issuer.fault = respond_with(b" " * 262_144)
        document = fetch(issuer.jwks_uri, Deadline(60), allowed_networks=(), loopback_allowed=True)
        assert len(document) == 262_144
        issuer.fault = respond_with(b" " * 262_145)
        assert "256 KiB" in failure(issuer.jwks_uri)


def test_unknown_name_is_reported(resolve: list[str]) -> None:
    resolve.append("no-such-host.invalid")
    assert "gaierror" in failure(f"https://{NAME}/")


def test_next_address_is_tried_after_a_refused_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with IssuerDouble(host="127.0.0.1", name="localhost") as issuer:
        real = socket.getaddrinfo

        def both(_host, port, *args, **options):
            return [
                *real("127.0.0.9", port, *args, **options),
                *real("127.0.0.1", port, *args, **options),
            ]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        document = fetch(issuer.jwks_uri, Deadline(60), allowed_networks=(), loopback_allowed=True)
        assert b"key-0" in document


@pytest.mark.sec(17, 65)
def test_silent_name_server_is_not_waited_for_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "_SHARED_SECONDS", 60)
    with silent_name_server() as look_ups:
        for _ in range(2):
            why = failure("https://id.acme.example/jwks.json", seconds=0.2)
            assert why == "no complete response within 0.2 s"
        wait_until(lambda: look_ups.names, "the name is looked up")
        assert look_ups.names == ["id.acme.example"]  # both wait for one look-up


def test_old_look_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server may respond again, but not to the earlier question."""
    monkeypatch.setattr(connect, "_SHARED_SECONDS", 0)
    with silent_name_server() as look_ups:

        def is_looked_up_again() -> bool:
            # On a busy machine the deadline may pass before the look-up begins.
            failure("https://id.acme.example/", seconds=0.2)
            return len(look_ups.names) >= 2

        wait_until(is_looked_up_again, "the name is looked up again")


def test_name_is_looked_up_again_after_a_look_up_has_ended() -> None:
    with silent_name_server() as look_ups:
        look_ups.release()
        for _ in range(2):
            assert "Temporary failure" in failure("https://id.acme.example/", seconds=60)
        assert look_ups.names == ["id.acme.example"] * 2
