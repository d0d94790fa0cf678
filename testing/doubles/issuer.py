"""
A real identity provider on a socket: metadata, keys and signed tokens, and every way to fail.

    with IssuerDouble() as issuer:
        token = issuer.token(sub="john")
        issuer.rotate()                      # a new key signs, the old one stays published
        issuer.withdraw(issuer.kids[0])      # the old one is gone
        issuer.fault = redirect("/elsewhere")  # until set to None
        issuer.gate = threading.Event()      # nothing is answered until it is set
        issuer.hits("/jwks.json")            # how often the keys were fetched
"""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from tokensvc.issuers.settings import IssuerSettings

AUDIENCE = "chat"
LIFETIME = 3600

_ALGORITHMS = get_default_algorithms()
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def private_key(algorithm: str, number: int = 0, bits: int = 2048) -> Any:
    """Give a key of an algorithm; the same number gives the same key, since RSA keys cost time."""
    return _private_key(algorithm, number, bits)


@cache
def _private_key(algorithm: str, _number: int, bits: int) -> Any:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, bits)


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """Give a private key's public half as a JWK."""
    kinds = {rsa.RSAPrivateKey: "RS256", ed25519.Ed25519PrivateKey: "EdDSA"}
    algorithm = next((name for kind, name in kinds.items() if isinstance(key, kind)), "ES256")
    return {**_ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True), **members}


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header: Any, payload: Any, key: Any, algorithm: str) -> str:
    """Sign anything, as no library would: bytes go out as they are, the rest as JSON."""
    parts = [
        base64url(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    ]
    signing_input = ".".join(parts)
    signature = _ALGORITHMS[algorithm].sign(signing_input.encode(), key)
    return f"{signing_input}.{base64url(signature)}"


class IssuerDouble:
    """
    The provider. A context manager; it listens from its construction on.

    Args:
        algorithm: What it signs with.
        tls: Makes it speak https.
        host: The address that it listens on.
        name: The host in its URLs.
        clock: Gives the times of its tokens.

    Attributes:
        kids: Of the published keys, oldest first; the last one signs.
        published: What the key set holds beside these.
        fault: What happens to a request instead of an answer.
        gate: What a request waits for first.
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
        self._server = _Server((host, 0), self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://{name or host}:{self._server.server_port}"
        self.issuer = self.url
        self.jwks_uri = f"{self.url}/jwks.json"
        self.rotate()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def config(self, **members: Any) -> dict[str, Any]:
        """Give an entry of `issuers` that accepts its tokens; `None` removes a member."""
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
        """Give the same as the settings' own type."""
        return IssuerSettings(**self.config(**members))

    def rotate(self) -> str:
        """Publish a new key, which signs from now on, and give its id."""
        kid = f"key-{self._made}"
        self._keys[kid] = private_key(self.algorithm, self._made)
        self._made += 1
        self.kids.append(kid)
        return kid

    def withdraw(self, kid: str) -> None:
        """Publish a key no longer. Tokens can still be signed with it."""
        self.kids.remove(kid)

    def key(self, kid: str | None = None) -> Any:
        """Give a private key, by default the one that signs."""
        return self._keys[kid or self.kids[-1]]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Give good claims; `changes` adds or overrides, `None` removes."""
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
        """Sign good claims with `changes`."""
        return self.sign(self.claims(**changes), kid=kid)

    def sign(
        self, payload: Any, *, kid: str | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        """Sign anything; `header` adds or overrides, `None` removes."""
        kid = kid or self.kids[-1]
        whole = {"alg": self.algorithm, "typ": "JWT", "kid": kid, **(header or {})}
        present = {name: value for name, value in whole.items() if value is not None}
        return compact(present, payload, self._keys[kid], self.algorithm)

    def key_set(self) -> dict[str, Any]:
        """Give what it publishes."""
        keys = [
            public_jwk(self._keys[kid], kid=kid, use="sig", alg=self.algorithm) for kid in self.kids
        ]
        return {"keys": [*keys, *self.published]}

    def hits(self, path: str = "/jwks.json") -> int:
        """Count the requests that came for a path."""
        with self._paths_changed:
            return self._paths.count(path)

    def wait_for_hits(self, count: int, path: str = "/jwks.json", timeout: float = 60) -> None:
        """Wait until that many requests have come for a path."""
        with self._paths_changed:
            came = self._paths_changed.wait_for(lambda: self._paths.count(path) >= count, timeout)
        assert came, f"{self.hits(path)} of {count} requests for {path} came"

    def close(self) -> None:
        """Be gone: nothing listens any more."""
        if self.gate is not None:
            self.gate.set()
        self._server.shutdown()
        self._server.server_close()

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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a request that hangs must not hold the end of a test
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], double: IssuerDouble) -> None:
        self.double = double
        super().__init__(address, _Handler)

    def handle_error(self, *_: object) -> None:
        """Keep standard error for the tests: clients go away on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self.server.double.respond(self)

    def log_message(self, *_: object) -> None:
        """Keep standard error for the tests."""


Fault: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


def send(
    handler: BaseHTTPRequestHandler,
    body: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer with JSON, or with bytes as they are."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(payload)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(payload)
    handler.wfile.flush()


def answer(body: Any, status: int = 200, **headers: str) -> Fault:
    """Answer something else; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: send(handler, body, status=status, headers=named)


def redirect(location: str) -> Fault:
    """Send the client elsewhere."""
    return answer(b"", 302, Location=location)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """End the connection without an answer."""
    handler.close_connection = True


def drip(event: threading.Event, chunk: bytes, pause: float = 0.05) -> Fault:
    """Send a chunk again and again until the event, so that no single wait is long."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with suppress(OSError):
            while not event.wait(pause):
                handler.wfile.write(chunk)
                handler.wfile.flush()

    return fault
