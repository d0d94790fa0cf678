"""
A Stream that runs on this machine: what the official SDKs call, on one port.

Speaks Stream's HTTP and WebSocket protocol (version 1 of its API) as the SDKs know it: tokens are
checked as strictly as the real Stream does (`stream_tokens.py`), calls are answered
(`stream_api.py`) from users and cut-offs that are kept (`stream_app.py`), failures come on order
(`faults.py`), and every call is on record.

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

from testing.doubles.faults import Answer, Fault, Faults
from testing.doubles.http_double import Call, HttpDouble
from testing.doubles.stream_api import StreamApi
from testing.doubles.stream_app import StreamApp
from testing.doubles.stream_sessions import Session, Sessions
from testing.doubles.stream_tokens import Claims, StreamError

RATE_LIMIT = 10_000


class StreamClock:
    """
    Stream's clock: ours with an offset, or one that stands still.

    Attributes:
        offset: Seconds by which it runs ahead of ours.
        frozen_at: Epoch seconds at which it stands; `None` lets it run.
    """

    def __init__(self) -> None:
        self.offset: float = 0
        self.frozen_at: float | None = None

    def __call__(self) -> float:
        return time.time() + self.offset if self.frozen_at is None else self.frozen_at


class StreamDouble:
    """
    The server, with everything that a test looks at or turns.

    Args:
        keys: Secret by API key, all of one app.
        poll_seconds: How long a long poll without events is held.
        faults: What its calls meet; by default what a test plans.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        poll_seconds: float = 20,
        faults: Faults | None = None,
    ) -> None:
        self.clock = StreamClock()
        self.app = StreamApp(keys, self.clock)
        self.sessions = Sessions()
        self._api = StreamApi(self.app, self.sessions, poll_seconds)
        self._http = HttpDouble(
            self._respond, clock=self.clock, upgrade=self._upgrade, faults=faults
        )
        self.url = self._http.url
        self.faults = self._http.faults
        self.calls = self._http.calls

    def fail_with(
        self, code: int, route: str = "*", *, times: int | None = 1, retry_after: int | None = None
    ) -> Fault:
        """Answer Stream's error `code` to the next calls of a route."""
        error = StreamError(code, f"on order: {code}")
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return self.faults.answer(Answer(error.status, error.body, headers), route, times)

    def close(self) -> None:
        self.sessions.drop_all()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _respond(self, call: Call) -> Answer:
        headers = {
            "X-RateLimit-Limit": str(RATE_LIMIT),
            "X-RateLimit-Remaining": str(RATE_LIMIT - 1),
            "X-RateLimit-Reset": str(int(self.clock()) // 60 * 60 + 60),
        }
        try:
            status, body = self._api.answer(call, self._authenticate(call, call.headers))
        except StreamError as error:
            call.facts["code"] = error.code
            return Answer(error.status, error.body, headers)
        return Answer(status, {**body, "duration": "0.00ms"}, headers)

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
        session.answer_pings(lambda: self._api.health_check(session))
        self.sessions.remove(session.id)

    def _connect(self, call: Call, websocket: Connection) -> tuple[Session, dict[str, Any]]:
        if call.path != "/connect":
            raise StreamError(16, f"{call.route} does not exist")
        if call.fault and call.fault.answer:
            raise StreamError(call.fault.answer.body["code"], "on order")
        return self._api.open(call, self._authenticate(call, call.query), websocket)

    def _authenticate(self, call: Call, credentials: Mapping[str, str]) -> Claims:
        claims = self.app.authenticate(
            call.query.get("api_key", ""),
            credentials.get("stream-auth-type", ""),
            credentials.get("authorization", ""),
        )
        call.facts.update(user_id=claims.user_id, server=claims.server, iat=claims.iat)
        return claims
