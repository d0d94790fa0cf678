"""
A real identity provider on a socket: metadata, keys, signed tokens and failures.

    with IssuerDouble() as issuer:
        token = issuer.token(sub="john")
        issuer.rotate()                      # sign with a new key; the old one stays published
        issuer.withdraw(issuer.kids[0])      # publish the old one no longer
        issuer.fault = redirect("/elsewhere")  # until it is set to None
        issuer.gate = threading.Event()      # respond to nothing until it is set
        issuer.hits("/jwks.json")            # number of key fetches
"""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any, Self, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from testing.doubles.listener import Listener
from tokensvc.issuers.settings import IssuerSettings

AUDIENCE = "chat"
LIFETIME = 3600

_ALGORITHMS = get_default_algorithms()
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def private_key(algorithm: str, number: int = 0, bits: int = 2048) -> Any:
    """Return a key. The same number returns the same key, because RSA keys are slow to create."""
    return _private_key(algorithm, number, bits)


@cache
def _private_key(algorithm: str, _number: int, bits: int) -> Any:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, bits)


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """Return the public part of a private key as a JWK."""
    kinds = {rsa.RSAPrivateKey: "RS256", ed25519.Ed25519PrivateKey: "EdDSA"}
    algorithm = next((name for kind, name in kinds.items() if isinstance(key, kind)), "ES256")
    return {**_ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True), **members}


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header: Any, payload: Any, key: Any, algorithm: str) -> str:
    """Sign any header and payload. Bytes are used unchanged, other values as JSON."""
    parts = [
        base64url(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    ]
    signing_input = ".".join(parts)
    signature = _ALGORITHMS[algorithm].sign(signing_input.encode(), key)
    return f"{signing_input}.{base64url(signature)}"


class IssuerDouble:
    """
    The provider, as a context manager. The constructor starts it.

    Args:
        algorithm: Signature algorithm.
        tls: TLS context; `None` for plain HTTP.
        host: Address to listen on.
        name: Host name in its URLs; by default `host`.
        clock: Clock of its tokens, in epoch seconds.

    Attributes:
        kids: IDs of the published keys, oldest first. The last one signs.
        published: Further members of the key set.
        metadata: Further members of the metadata document.
        fault: Function that handles each request instead of the provider.
        gate: Event that each request waits for.
    """

    def __init__(
        self,
        *,
        algorithm: str = "RS256",
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        name: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.algorithm = algorithm
        self.clock = clock
        self.kids: list[str] = []
        self.published: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {}
        self.fault: Fault | None = None
        self.gate: threading.Event | None = None
        self._made = 0
        self._keys: dict[str, Any] = {}
        self._paths: list[str] = []
        self._paths_changed = threading.Condition()
        self._server = _Server(host, self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://{name or host}:{self._server.server_port}"
        self.issuer = self.url
        self.jwks_uri = f"{self.url}/jwks.json"
        self.rotate()
        self._server.start()

    def config(self, **members: Any) -> dict[str, Any]:
        """Return an entry of `issuers` for this provider. `None` removes a member."""
        given = {
            "name": "acme",
            "issuer": self.issuer,
            "audience": AUDIENCE,
            "jwks_uri": self.jwks_uri,
            "algorithms": [self.algorithm],
            **members,
        }
        return {name: value for name, value in given.items() if value is not None}

    def settings(self, **members: Any) -> IssuerSettings:
        """Return the entry of `config` as settings."""
        return IssuerSettings(**self.config(**members))

    def rotate(self) -> str:
        """Publish a new key, sign with it from now on, and return its ID."""
        kid = f"key-{self._made}"
        self._keys[kid] = private_key(self.algorithm, self._made)
        self._made += 1
        self.kids.append(kid)
        return kid

    def withdraw(self, kid: str) -> None:
        """Remove a key from the key set. It can still sign tokens."""
        self.kids.remove(kid)

    def key(self, kid: str | None = None) -> Any:
        """Return a private key, by default the one that signs."""
        return self._keys[kid or self.kids[-1]]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return valid claims. `changes` adds or overrides, `None` removes."""
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "john",
            "iat": now,
            "auth_time": now,
            "exp": now + LIFETIME,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, kid: str | None = None, **changes: Any) -> str:
        """Sign valid claims with `changes`."""
        return self.sign(self.claims(**changes), kid=kid)

    def sign(
        self, payload: Any, *, kid: str | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        """Sign any payload. `header` adds or overrides, `None` removes."""
        kid = kid or self.kids[-1]
        whole = {"alg": self.algorithm, "typ": "JWT", "kid": kid, **(header or {})}
        present = {name: value for name, value in whole.items() if value is not None}
        return compact(present, payload, self._keys[kid], self.algorithm)

    def key_set(self) -> dict[str, Any]:
        """Return the published key set."""
        keys = [
            public_jwk(self._keys[kid], kid=kid, use="sig", alg=self.algorithm) for kid in self.kids
        ]
        return {"keys": [*keys, *self.published]}

    def hits(self, path: str = "/jwks.json") -> int:
        """Return the number of requests for a path."""
        with self._paths_changed:
            return self._paths.count(path)

    def wait_for_hits(self, count: int) -> None:
        """Wait until the key set was requested `count` times."""
        with self._paths_changed:
            arrived = self._paths_changed.wait_for(lambda: self.hits() >= count, 60)
        assert arrived, f"{self.hits()} of {count} requests for the key set arrived"

    def close(self) -> None:
        """Stop listening."""
        if self.gate is not None:
            self.gate.set()
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        with self._paths_changed:
            self._paths.append(handler.path)
            self._paths_changed.notify_all()
        if self.gate is not None:
            self.gate.wait()
        fault = self.fault
        if fault is not None:
            fault(handler)
        elif handler.path == "/jwks.json":
            send(handler, self.key_set())
        elif handler.path == "/.well-known/openid-configuration":
            send(handler, {"issuer": self.issuer, "jwks_uri": self.jwks_uri, **self.metadata})
        else:
            send(handler, {}, status=404)


class _Server(Listener):
    def __init__(self, host: str, double: IssuerDouble) -> None:
        self.double = double
        super().__init__(host, _Handler)

    def handle_error(self, *_: object) -> None:
        """Write nothing to standard error: clients disconnect intentionally."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self.server.double.respond(self)

    def log_message(self, *_: object) -> None:
        """Write nothing to standard error."""


Fault: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


def send(
    handler: BaseHTTPRequestHandler,
    body: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Respond with JSON, or with bytes."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(payload)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(payload)
    handler.wfile.flush()


def respond_with(body: Any, status: int = 200, **headers: str) -> Fault:
    """Respond with something else. `_` in the name of a header means `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: send(handler, body, status=status, headers=named)


def redirect(location: str) -> Fault:
    """Redirect the client."""
    return respond_with(b"", 302, Location=location)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a response."""
    handler.close_connection = True


def drip(event: threading.Event, chunk: bytes) -> Fault:
    """Send a chunk repeatedly until the event is set, so that each single wait is short."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with suppress(OSError):
            while not event.wait(0.05):
                handler.wfile.write(chunk)
                handler.wfile.flush()

    return fault
