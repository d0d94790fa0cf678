"""The endpoints of Stream's API that the SDKs call, after authentication."""

import json
from collections.abc import Mapping
from typing import Any

from websockets.sync.connection import Connection

from testing.doubles.http_double import Call
from testing.doubles.stream_app import StreamApp
from testing.doubles.stream_channels import Channels, check_custom_type
from testing.doubles.stream_deletion import Deletions
from testing.doubles.stream_devices import Devices
from testing.doubles.stream_sessions import Session, Sessions
from testing.doubles.stream_tokens import Claims, StreamError


class StreamApi:
    """
    The endpoints of one app.

    Args:
        poll_seconds: Duration of a long poll without events.
    """

    def __init__(self, app: StreamApp, sessions: Sessions, poll_seconds: float) -> None:
        self._app = app
        self._channels = Channels(app, sessions)
        self.deletions = Deletions(app, self._channels)
        self._sessions = sessions
        self._poll_seconds = poll_seconds
        self.devices = Devices(app)

    def respond(self, call: Call, claims: Claims) -> tuple[int, dict[str, Any]]:  # noqa: C901, PLR0911, PLR0912 - a table
        """
        Return status and body of the response to a call.

        Raises:
            StreamError: Stream refuses the call.
        """
        if not claims.server and call.query.get("user_id", claims.user_id) != claims.user_id:
            raise StreamError(5, "the user_id of the token is not the user_id of the call")
        app = self._app
        match call.method, call.path.strip("/").split("/"):
            case "GET", ["hi"]:
                return 200, {}
            case "GET", ["longpoll"]:
                return 200, self._long_poll(call, claims)
            case "POST", ["channels", *path]:
                return 201, self._channels_call(call, claims, path)
            case "GET", ["users"]:
                query = _parse(call.query.get("payload", "{}"))
                self._watcher(call, claims, query)
                return 200, {"users": app.query_users(query)}
            case "POST", ["users"]:
                return 201, {"users": app.upsert_users(claims, _parse(call.body).get("users"))}
            case "PATCH", ["users"]:
                return 200, {"users": app.patch_users(claims, _parse(call.body).get("users"))}
            case "POST", ["users", "delete"]:
                return 201, {"task_id": self.deletions.delete(claims, _parse(call.body))}
            case "GET", ["tasks", task]:
                return 200, self.deletions.read(claims, task)
            case "DELETE", ["users", user_id]:
                return 200, {"user": app.mark_user(claims, user_id, "deleted_at", on=True)}
            case "POST", ["users", user_id, "deactivate" | "reactivate" as action]:
                on = action == "deactivate"
                return 201, {"user": app.mark_user(claims, user_id, "deactivated_at", on=on)}
            case "POST", ["users", user_id, "event"]:
                return 201, self._send_to_user(claims, user_id, _parse(call.body).get("event"))
            case _, ["devices"]:
                return 200, self._devices_call(call, claims)
            case "GET", ["app"]:
                return 200, {"app": dict(app.settings)}
            case "PATCH", ["app"]:
                app.patch_settings(claims, _parse(call.body))
                return 200, {}
            case _:
                raise StreamError(16, f"{call.route} does not exist")

    def open(
        self, call: Call, claims: Claims, websocket: Connection | None
    ) -> tuple[Session, dict[str, Any]]:
        """Connect a client. Return its session and first event."""
        me = self._app.connect_user(claims, _parse(call.query.get("json", "")))
        me["devices"] = self.devices.of(me["id"])
        session = Session(me["id"], websocket)
        self._sessions.add(session)
        return session, {**self.health_check(session), "me": me}

    def _devices_call(self, call: Call, claims: Claims) -> dict[str, Any]:
        user_id, devices = call.query.get("user_id"), self.devices
        match call.method:
            case "GET":
                return {"devices": devices.query(claims, user_id)}
            case "POST":
                devices.create(claims, _parse(call.body))
            case "DELETE":
                devices.delete(claims, user_id, call.query.get("id"))
            case _:
                raise StreamError(16, f"{call.route} does not exist")
        return {}

    def _send_to_user(self, claims: Claims, user_id: str, event: Any) -> dict[str, Any]:
        """
        Send a custom event to all connected clients of a user.

        Raises:
            StreamError: 4 for the type, 16 if the user does not exist, 17 if no server calls.
        """
        self._app.require_server(claims)
        check_custom_type(event)
        if user_id not in self._app.users:
            raise StreamError(16, f"user {user_id!r} does not exist")
        for session in self._sessions.of(user_id):
            session.push({**event, "created_at": self._app.timestamp()})
        return {}

    def health_check(self, session: Session) -> dict[str, Any]:
        return {
            "type": "health.check",
            "connection_id": session.id,
            "cid": "*",
            "created_at": self._app.timestamp(),
        }

    def _long_poll(self, call: Call, claims: Claims) -> dict[str, Any]:
        if not call.query.get("connection_id"):
            return {"event": self.open(call, claims, None)[1]}
        session = self._session_of(call, claims)
        if call.query.get("close") == "true":
            self._sessions.remove(session.id)
            return {}
        return {"events": session.poll(self._poll_seconds)}

    def _channels_call(self, call: Call, claims: Claims, path: list[str]) -> dict[str, Any]:
        body = _parse(call.body)
        if claims.user_id is None:
            raise StreamError(4, "only users can use channels here")
        user_id, channels = claims.user_id, self._channels
        match path:
            case []:
                watcher = self._watcher(call, claims, body)
                return {"channels": channels.find(user_id, body, watcher)}
            case [kind, channel_id, "query"]:
                watcher = self._watcher(call, claims, body)
                return channels.query(user_id, kind, channel_id, watcher)
            case [kind, channel_id, "message"]:
                message = body.get("message")
                return {"message": channels.send_message(user_id, f"{kind}:{channel_id}", message)}
            case [kind, channel_id, "event"]:
                event = body.get("event")
                return {"event": channels.send_event(user_id, f"{kind}:{channel_id}", event)}
            case [kind, channel_id, "read"]:
                return {"event": channels.mark_read(user_id, f"{kind}:{channel_id}")}
            case _:
                raise StreamError(16, f"{call.route} does not exist")

    def _watcher(self, call: Call, claims: Claims, query: Mapping[str, Any]) -> Session | None:
        """Return the session that watches what it queries, if it does."""
        if query.get("watch") or query.get("presence"):
            return self._session_of(call, claims)
        return None

    def _session_of(self, call: Call, claims: Claims) -> Session:
        session = self._sessions.get(call.query.get("connection_id", ""))
        if session is None or session.user_id != claims.user_id:
            raise StreamError(46, "connection id not found")
        return session


def _parse(text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StreamError(4, "the body is not JSON") from error
    if not isinstance(value, dict):
        raise StreamError(4, "the body is not an object")
    return value
