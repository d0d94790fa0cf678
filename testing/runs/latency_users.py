"""A user of the latency run, and everything that the user may do before an action."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from testing.doubles.stream_calls import call, connects, dial
from testing.node import NODE
from testing.runs.fleet import Connection, Fleet, refresh
from testing.sdk_driver import Driver
from testing.service import STREAM_API_KEY

SUSPENDED, REACHED, SESSION_ENDED, LOGGED_OUT = KINDS = (
    "suspension",
    "reach of a suspension",
    "one session ended",
    "provider's logout",
)
MINT, REFRESH, HTTP, WEBSOCKET = "mint", "refresh", "Stream HTTP", "new WebSocket"
LISTENING, PUSH = "open, client that listens", "push"
_LAYERS_OF = {
    SUSPENDED: (MINT, REFRESH, HTTP, WEBSOCKET),
    REACHED: (LISTENING, PUSH),
    SESSION_ENDED: (MINT, REFRESH, HTTP),
    LOGGED_OUT: (MINT, HTTP),
}
LAYERS = [f"{kind}: {layer}" for kind in KINDS for layer in _LAYERS_OF[kind]]
PROMISED = {name for name in LAYERS if name.endswith((MINT, REFRESH))}
"""Layers in which nothing succeeds that begins after the response."""
MAY_STAY = {f"{REACHED}: {layer}" for layer in _LAYERS_OF[REACHED]}
"""Layers that may not end: three hints may fail, and Stream removes few devices in a minute."""


class OldAuthority:
    """
    The credentials of a user, or of one of two sessions of a user.

    Args:
        connection: Connection to the service.
        kind: Kind of the action.
    """

    def __init__(self, fleet: Fleet, connection: Connection, user_id: str, kind: str) -> None:
        self._fleet = fleet
        self._connection = connection
        self._user_id = user_id
        self._kind = kind
        fleet.create_stream_user(user_id)
        self._other_session = fleet.open_session(user_id)
        refreshed = refresh(connection, fleet.open_session(user_id)).json
        self._refresh_token = refreshed["refresh_token"]
        self._credential = fleet.sign_in(user_id)
        if kind == SESSION_ENDED:
            self._credential = _bearer(refreshed)
        self._minted = connection.request("POST", "/v1/token", self._credential).json

    @contextmanager
    def connected(self) -> Iterator[ClientConnection]:
        """
        Connect the clients of the user until the block ends.

        Yields:
            The WebSocket of the client that ignores everything.
        """
        stream, user_id = self._fleet.stream, self._user_id
        with dial(stream, self._token, api_key=STREAM_API_KEY, user_id=user_id) as socket:
            socket.recv()
            if self._kind != REACHED:
                yield socket
                return
            stream.devices.add(user_id, "phone")
            with Driver(NODE) as driver:
                self._connect(driver)
                yield socket

    def _connect(self, driver: Driver) -> None:
        """Connect the unmodified SDK, with a listener that leaves when access ends."""
        service, token = self._fleet.services[0].base_url, self._credential["Authorization"][7:]
        stream = {"apiKey": STREAM_API_KEY, "baseURL": self._fleet.stream.url}
        driver.call("makeClient", **stream, options={})
        provider = {"apiKey": STREAM_API_KEY, "credentials": [token]}
        driver.call("makeProvider", url=f"{service}/v1/token", **provider)
        driver.call("watchAccess", url=f"{service}/v1/me", credential=token)
        driver.call("connectUser", user={"id": self._user_id})

    @property
    def _token(self) -> str:
        token: str = self._minted["token"]
        return token

    def attempts(self) -> dict[str, Callable[[], bool]]:
        """Return what the user may do: functions that return whether it succeeded, by layer."""
        functions = {
            MINT: self._mint,
            REFRESH: self._refresh,
            HTTP: self._call_stream,
            WEBSOCKET: lambda: connects(self._fleet.stream, self._minted),
            # One of two sessions is that of the client that ignores everything.
            LISTENING: lambda: len(self._fleet.stream.sessions.of(self._user_id)) > 1,
            PUSH: lambda: bool(self._fleet.stream.devices.of(self._user_id)),
        }
        return {f"{self._kind}: {layer}": functions[layer] for layer in _LAYERS_OF[self._kind]}

    def act(self) -> None:
        """Send the action, and wait for its response."""
        if self._kind in {SUSPENDED, REACHED}:
            path = f"/v1/users/{self._user_id}/suspension"
            response = self._connection.request("PUT", path, self._fleet.operator)
        elif self._kind == LOGGED_OUT:
            path, form = self._fleet.logout(self._user_id)
            response = self._connection.request("POST", path, {}, form)
        else:
            bearer = _bearer(refresh(self._connection, self._other_session).json)
            listed = self._connection.request("GET", "/v1/me/sessions", bearer).json["items"]
            (ended,) = [item["id"] for item in listed if not item["current"]]
            response = self._connection.request("DELETE", f"/v1/me/sessions/{ended}", bearer)
        assert response.status in {200, 204}, response

    def _mint(self) -> bool:
        return self._connection.request("POST", "/v1/token", self._credential).status == 200

    def _refresh(self) -> bool:
        response = refresh(self._connection, self._refresh_token)
        if response.status != 200:
            return False
        self._refresh_token = response.json["refresh_token"]
        return True

    def _call_stream(self) -> bool:
        response = call(self._fleet.stream, self._token, path="/hi", api_key=STREAM_API_KEY)
        return response.status == 200


def receives(socket: ClientConnection) -> bool:
    """Return whether a WebSocket still receives."""
    with suppress(ConnectionClosed):
        socket.send(json.dumps([{"type": "health.check"}]))
        while json.loads(socket.recv(timeout=10))["type"] != "health.check":
            pass  # the hint, which this client ignores
        return True
    return False


def _bearer(granted: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {granted['access_token']}"}
