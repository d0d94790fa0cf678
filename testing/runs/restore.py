"""
What was refused before a database was lost is refused again after its restore.

A service is backed up, users, clients, accounts and keys are acted on, also by events of the
identity provider, the database is lost, and the backup restored: once with an export of the audit
trail, once without. The commands of the restore are killed several times on the way.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from testing.accounts import NEW_PASSWORD, PASSWORD
from testing.doubles.events import (
    RISC,
    SESSION_REVOKED,
    iss_sub,
    logout_token,
    push,
    security_event,
    send_logout,
)
from testing.http_client import Client
from testing.runs.restore_scene import (
    OTHER_KEY,
    OTHER_SECRET,
    Scene,
    opened_scene,
)
from testing.service import STREAM_API_KEY
from testing.service_clients import basic_header
from testing.waiting import wait_until

_USERS = (
    *("plain", "banned", "revoked", "reinstated", "undone", "renewed", "erased"),
    *("logged-out", "disabled", "enabled", "two-sessions"),
)
_PHONE, _LAPTOP = "phone", "laptop"
"""Sessions of one user at the provider, of which it ends the first."""
DISABLED, ENABLED = f"{RISC}account-disabled", f"{RISC}account-enabled"
_LONGEST_KILL = 1.5
"""Seconds, about the duration of a command."""
_RIGHTS = (
    *("tokens:mint", "users:read", "users:erase", "accounts:write", "revocations:write"),
    "keys:write",
)


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        wanted: Number of commands to kill.
        killed: Number of commands that were killed before their end.
        checks: Whether each promise was kept, by its text.
    """

    database: str
    wanted: int
    killed: int = 0
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether everything was checked and kept, and a command was killed."""
        return len(self.checks) == CHECKS and all(self.checks.values()) and self.killed > 0

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        kept = sum(self.checks.values())
        yield (
            f"{self.database}: {kept} of {CHECKS} promises kept, "
            f"{self.killed} of {self.wanted} commands killed before their end"
        )
        yield from (f"  NOT KEPT: {text}" for text, is_kept in self.checks.items() if not is_kept)


def prove(database: str, *, kills: int, seed: int) -> Figures:
    """
    Lose a database and restore it, with and without an export.

    Args:
        database: `sqlite` or `postgresql`.
        kills: Number of commands to kill.
        seed: Seed of the times of the kills.
    """
    figures, rng = Figures(database, kills), random.Random(seed)
    with opened_scene(database) as scene:
        _act(scene)
        export = scene.folder / "audit.jsonl"
        exported = scene.command("audit", "--json", "--limit", "100000")
        export.write_text(exported.out)
        # A killed one may have made the database live.
        replay = ("after-restore", "--replay", str(export), "--complete", "--copied")

        scene.lose_database()
        _kill(scene, figures, rng, kills // 2, "restore", str(scene.backup))
        scene.restore()
        started = scene.command("token", "mint", "user-plain")
        figures.checks["a restored database does not start"] = "after-restore" in started.err
        _kill(scene, figures, rng, kills - kills // 2, *replay)
        scene.json(*replay)
        figures.checks["a second replay changes nothing"] = scene.json(*replay)["applied"] == {}
        scene.forget_at_stream()
        scene.add_device("user-banned", "user-revoked")
        with scene.running():
            figures.checks |= dict(_after_replay(scene))

        scene.lose_database()
        scene.restore()
        scene.json("after-restore")
        with scene.running():
            figures.checks |= dict(_without_export(scene))
    return figures


def _kill(scene: Scene, figures: Figures, rng: random.Random, kills: int, *command: str) -> None:
    if scene.server is not None and command[0] == "restore":
        return  # it only prints a line
    for _ in range(kills):
        figures.killed += scene.kill_command(rng.uniform(0.1, _LONGEST_KILL), *command)


def _act(scene: Scene) -> None:
    """Act before the backup, back up, and act after it."""
    with scene.running():
        scene.sign_in(*(f"user-{name}" for name in _USERS))
        for sid in (_PHONE, _LAPTOP):
            scene.tokens[sid] = scene.issuer.token(sub="two-sessions", sid=sid)
        created = {
            name: scene.json("clients", "create", name, *_scopes())
            for name in ("operator", "kept", "gone", "halved")
        }
        second = scene.json("clients", "rotate", created["halved"]["id"])
        scene.clients = {name: basic_header(client) for name, client in created.items()}
        scene.clients["second"] = basic_header(
            {"id": created["halved"]["id"], "secret": second["secret"]}
        )
        operator = scene.client(scene.clients["operator"])
        for name in ("plain", "changed", "deleted"):
            _done(scene.sign_up(f"own-{name}"))
        scene.access_token = scene.sign_in_account("own-plain", PASSWORD).json["access_token"]
        keys = scene.json("stream-keys", "list")
        other = scene.json("stream-keys", "add", OTHER_KEY, stdin=OTHER_SECRET)
        _done(operator.request("PUT", "/v1/users/user-reinstated/suspension"))
        undone = _done(operator.post("/v1/users/user-undone/revocations"))["revocation"]["id"]
        _event(scene, DISABLED, "enabled")
        scene.back_up()

        _done(operator.post("/v1/users/user-renewed/renewals"))
        _done(operator.request("DELETE", "/v1/users/user-erased"))
        _event(scene, SESSION_REVOKED, "logged-out")
        _event(scene, DISABLED, "disabled")
        _event(scene, ENABLED, "enabled")
        ended = logout_token(scene.issuer, sub="two-sessions", sid=_PHONE)
        _done(send_logout(scene.client(), ended))
        _done(operator.request("PUT", "/v1/users/user-banned/suspension"))
        _done(operator.post("/v1/users/user-revoked/revocations"))
        _done(operator.request("DELETE", "/v1/users/user-reinstated/suspension"))
        _done(operator.request("DELETE", f"/v1/users/user-undone/revocations/{undone}"))
        scene.json("clients", "delete", created["gone"]["id"])
        secret = created["halved"]["secrets"][0]["id"]
        scene.json("clients", "delete", created["halved"]["id"], "--secret", secret)
        _done(scene.sign_up("own-new"))
        scene.json("accounts", "delete", "own-deleted")
        code = _done(operator.post("/v1/accounts/own-changed/reset-codes"))["code"]
        body = {"code": code, "new_password": NEW_PASSWORD}
        _done(scene.client().post("/v1/accounts/own-changed/password", json=body))
        scene.json("stream-keys", "activate", other["id"])
        scene.json("stream-keys", "retire", keys[0]["id"])


def _event(scene: Scene, event: str, name: str) -> None:
    """Push an event of the provider."""
    subject = iss_sub(scene.issuer, name)
    _done(push(scene.client(), security_event(scene.issuer, event, sub_id=subject)))


def _after_replay(scene: Scene) -> Iterator[tuple[str, bool]]:
    """Yield what must be true after the replay of a complete export."""
    yield "a banned user is refused", _code(scene.mint("user-banned")) == "user_suspended"
    yield "a revoked user must sign in", _code(scene.mint("user-revoked")) == "sign_in_required"
    operator = scene.client(scene.clients["operator"])
    state = operator.get("/v1/users/user-reinstated").json
    yield "a reinstated user is not suspended", state["suspended"] is False
    yield "an undone revocation is undone", scene.mint("user-undone").status == 200
    yield from _after_events_and_erasures(scene)
    yield "another user gets a token", scene.mint("user-plain").status == 200
    yield "another client is accepted", _is_accepted(scene, "kept")
    yield "a deleted client is refused", not _is_accepted(scene, "gone")
    yield "a deleted secret is refused", not _is_accepted(scene, "halved")
    yield "the other secret is accepted", _is_accepted(scene, "second")
    yield "the ID of a new account is reserved", _code(scene.sign_up("own-new")) == "user_id_taken"
    yield "a new account has no password", scene.sign_in_account("own-new", PASSWORD).status == 401
    yield "the ID of a deleted account too", _code(scene.sign_up("own-deleted")) == "user_id_taken"
    yield (
        "a deleted account is refused",
        scene.sign_in_account("own-deleted", PASSWORD).status == 401,
    )
    yield (
        "a changed password is disabled",
        {scene.sign_in_account("own-changed", word).status for word in (PASSWORD, NEW_PASSWORD)}
        == {401},
    )
    bearer = {"Authorization": f"Bearer {scene.access_token}"}
    yield (
        "a session of another account has ended",
        _code(scene.client(bearer).get("/v1/me/sessions")) == "sign_in_required",
    )
    plain = scene.client({"Authorization": f"Bearer {scene.tokens['user-plain']}"})
    named = plain.post("/v1/token", json={"api_key": STREAM_API_KEY})
    yield "a retired key does not sign", _code(named) == "api_key_unknown"
    yield "the activated key signs", plain.post("/v1/token").json["api_key"] == OTHER_KEY
    wait_until(lambda: scene.refuses_at_stream("user-banned"), "Stream has the cut-off")
    wait_until(lambda: scene.refuses_at_stream("user-revoked"), "Stream has the cut-off")
    wait_until(lambda: scene.refuses_at_stream("user-renewed"), "Stream has the renewal")
    wait_until(lambda: scene.refuses_at_stream("user-two-sessions"), "Stream has the renewal")
    yield "Stream is notified again", not scene.refuses_at_stream("user-plain")
    wait_until(lambda: not scene.have_devices("user-banned"), "the devices are removed")
    kept = scene.have_devices("user-revoked")
    yield "only devices of banned users are removed again", bool(kept)


def _after_events_and_erasures(scene: Scene) -> Iterator[tuple[str, bool]]:
    yield "a renewed user stays signed in", scene.mint("user-renewed").status == 200
    yield "an erased user is refused", _code(scene.mint("user-erased")) == "user_erased"
    logged_out = _code(scene.mint("user-logged-out"))
    yield "a user whom the provider logged out must sign in", logged_out == "sign_in_required"
    disabled = _code(scene.mint("user-disabled"))
    yield "a user whom the provider disabled is refused", disabled == "user_suspended"
    enabled = _code(scene.mint("user-enabled"))
    yield "a user whom the provider enabled is not suspended", enabled == "sign_in_required"
    ended = _code(scene.mint(_PHONE))
    yield "a session that the provider ended is refused", ended == "sign_in_required"
    yield "the user's other session gets a token", scene.mint(_LAPTOP).status == 200


def _without_export(scene: Scene) -> Iterator[tuple[str, bool]]:
    """Yield what must be true after a restore without an export."""
    # These two were suspended at the time of the backup.
    names = {*_USERS} - {"reinstated", "enabled"}
    codes = {_code(scene.mint(f"user-{name}")) for name in names}
    yield "without an export all users must sign in", codes == {"sign_in_required"}
    clients = [_is_accepted(scene, name) for name in scene.clients]
    yield "without an export every secret is disabled", not any(clients)
    yield "without an export sign-up is closed", _code(scene.sign_up("own-x")) == "sign_up_closed"
    wait_until(scene.refuses_app_at_stream, "Stream has the cut-off of the app")


CHECKS = 2 + 26 + 3


def _is_accepted(scene: Scene, name: str) -> bool:
    return _reader(scene, name).get("/v1/users/user-plain").status == 200


def _reader(scene: Scene, name: str) -> Client:
    return scene.client(scene.clients[name])


def _scopes() -> list[str]:
    return [word for scope in _RIGHTS for word in ("--scope", scope)]


def _code(response: Any) -> str | None:
    code: str | None = response.json.get("code")
    return code


def _done(response: Any) -> Any:
    """Return the body of a response that must be a success."""
    assert response.status < 300, response.text
    return response.json if response.body else None
