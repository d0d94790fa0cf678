"""A certificate authority and a name server for tests of outgoing requests."""

import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme

from testing.doubles.issuer import IssuerDouble
from tokensvc.net.http import trusted_authorities

NAME = "id.acme.example"
"""A host name that only the fixture `resolve` resolves."""


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
    """Yield a certificate authority that this process trusts."""
    ca = trustme.CA()
    with ca.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        trusted_authorities.cache_clear()
        yield ca
        trusted_authorities.cache_clear()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return addresses: each look-up of `NAME` takes the next one."""
    addresses: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **options):
        return real(addresses.pop(0) if host == NAME else host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return addresses


def secure_double(authority: trustme.CA, *names: str, **options: str) -> IssuerDouble:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return IssuerDouble(tls=context, **options)
