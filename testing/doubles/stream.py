"""
A local Stream that the official SDKs can call.

Implements Stream's HTTP and WebSocket protocol (version 1 of its API) as the SDKs use it. It checks
tokens as strictly as the real Stream (`stream_tokens.py`), responds to calls (`stream_api.py`) from
stored users and cut-offs (`stream_app.py`) within Stream's rate limits (`stream_limits.py`), fails
as planned (`faults.py`) and records every call.

    with StreamDouble({"key": "secret"}) as stream:
        client = stream_chat.StreamChat("key", "secret", base_url=stream.url)
        stream.faults.hang("PATCH /users")
        stream.clock.offset = -5
"""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Self

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.sync.connection import Connection

from testing.doubles.faults import Fault, Faults
from testing.doubles.http_double import Call, HttpDouble
from testing.doubles.stream_api import StreamApi
from testing.doubles.stream_app import StreamApp
from testing.doubles.stream_limits import RateLimitError, RateLimits
from testing.doubles.stream_sessions import Session, Sessions
from testing.doubles.stream_tokens import Claims, StreamError
from testing.response import Response

_CORS = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "DELETE, GET, PATCH, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Stream-Auth-Type, "
    "X-Client-Request-Id, X-Stream-Client",
    "Access-Control-Max-Age": "600",
}


class StreamClock:
    """
    Stream's clock: the system clock with an offset, or a fixed time.

    Attributes:
        offset: Seconds ahead of the system clock.
        frozen_at: Fixed time in epoch seconds; `None` for a running clock.
    """

    def __init__(self) -> None:
        self.offset: float = 0
        self.frozen_at: float | None = None

    def __call__(self) -> float:
        return time.time() + self.offset if self.frozen_at is None else self.frozen_at


class StreamDouble:
    """
    The server, and what a test reads or sets.

    Args:
        keys: Secrets by API key, all of one app.
        poll_seconds: Duration of a long poll without events.
        faults: Failures of calls; by default only those that a test plans.
        host: Address to listen on.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        poll_seconds: float = 20,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.clock = StreamClock()
        self.app = StreamApp(keys, self.clock)
        self.limits = RateLimits(self.clock)
        self.sessions = Sessions()
        self._api = StreamApi(self.app, self.sessions, poll_seconds)
        self.deletions = self._api.deletions
        self.devices = self._api.devices
        self._http = HttpDouble(
            self.respond, clock=self.clock, upgrade=self._upgrade, faults=faults, host=host
        )
        self.url = self._http.url
        self.faults = self._http.faults
        self.calls = self._http.calls

    def fail_with(
        self, code: int, route: str = "*", *, times: int | None = 1, retry_after: int | None = None
    ) -> Fault:
        """Plan Stream's error `code` for the next calls of a route."""
        error = StreamError(code, f"planned: {code}")
        headers = _CORS if retry_after is None else {**_CORS, "Retry-After": str(retry_after)}
        return self.faults.respond(Response(error.status, error.body, headers), route, times)

    def close(self) -> None:
        self.sessions.drop_all()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def respond(self, call: Call) -> Response:
        """Return the response to an HTTP call, also of a server in front of it."""
        if call.method == "OPTIONS":
            return Response(204, headers=_PREFLIGHT)
        headers = dict(_CORS)
        try:
            claims = self._authenticate(call, call.headers)
            headers |= self._count(call, claims)
            status, body = self._api.respond(call, claims)
        except StreamError as error:
            call.facts["code"] = error.code
            if isinstance(error, RateLimitError):
                headers |= error.headers
            return Response(error.status, error.body, headers)
        return Response(status, {**body, "duration": "0.00ms"}, headers)

    def _upgrade(self, call: Call, sock: socket.socket) -> None:
        response = ServerProtocol().accept(Request(call.target, Headers(call.headers)))
        call.status = response.status_code
        sock.sendall(response.serialize())
        websocket = Connection(
            sock, ServerProtocol(state=OPEN), ping_interval=None, close_timeout=1
        )
        try:
            session, hello = self._connect(call, websocket)
        except StreamError as error:
            call.facts["code"] = error.code
            websocket.send(json.dumps({"error": error.body}))
            websocket.close(1008)
            return
        session.push(hello)
        session.respond_to_pings(lambda: self._api.health_check(session))
        self.sessions.remove(session.id)

    def _connect(self, call: Call, websocket: Connection) -> tuple[Session, dict[str, Any]]:
        if call.path != "/connect":
            raise StreamError(16, f"{call.route} does not exist")
        if call.fault and call.fault.response:
            raise StreamError(call.fault.response.json["code"], "planned")
        claims = self._authenticate(call, call.query)
        self._count(call, claims)
        return self._api.open(call, claims, websocket)

    def _count(self, call: Call, claims: Claims) -> dict[str, str]:
        """
        Count a call against the rate limits, and return the headers of its response.

        Raises:
            RateLimitError: A limit is reached.
        """
        return self.limits.count(call.route, "server" if claims.server else "client")

    def _authenticate(self, call: Call, credentials: Mapping[str, str]) -> Claims:
        claims = self.app.authenticate(
            call.query.get("api_key", ""),
            credentials.get("stream-auth-type", ""),
            credentials.get("authorization", ""),
        )
        call.facts.update(user_id=claims.user_id, server=claims.server, iat=claims.iat)
        return claims
