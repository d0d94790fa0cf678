"""The acts over HTTP: what each refuses from its answer on, what it answers, and how it ends."""

import pytest

from testing.http_client import Client
from tests.revocations.live import CLOCK_AHEAD, World, claims, minted
from tokensvc.revocations.state import UNDO_WARNING
from tokensvc.stream.api import rfc3339

CUT_OFF = "revoke_tokens_issued_before"
CLEAN = {
    "suspended": False,
    "suspended_at": None,
    "tokens_valid_after": None,
    "reason": None,
    "sessions": 0,
    "revocation": None,
    "stream": {"state": "applied", "updated_at": None, "last_error": None},
}


@pytest.mark.sec(32)
def test_a_revocation_ends_what_was_signed_in_before(world: World) -> None:
    """From its answer on an old sign-in mints no more, a new one does, above the cut-off."""
    user = world.signed_in("ada")
    assert user.post("/v1/token").status == 200
    answer = world.revoke("ada", json={"reason": "lost phone"})
    assert answer.status == 200
    cut_off = answer.json["tokens_valid_after"]
    refused = user.post("/v1/token")
    assert (refused.status, refused.code) == (401, "sign_in_required")
    assert refused.json["sign_in_after"] == cut_off + CLOCK_AHEAD
    assert user.get("/v1/me").code == "sign_in_required"
    again = world.signed_in("ada", at=cut_off + CLOCK_AHEAD)
    assert claims(minted(again))["iat"] >= cut_off


def test_a_revocation_says_what_stands(world: World) -> None:
    """The answer is the new state, which is also what is answered to whoever asks later."""
    act = world.revoke("grace", json={"reason": "lost phone"}, headers={"Prefer": "wait=10"}).json
    assert act.pop("holds_until") == "next_sign_in"
    assert act == world.state("grace")
    assert act["stream"].pop("updated_at") >= act["revocation"]["created_at"]
    assert act["revocation"].pop("id").startswith("rev_")
    created_at = act["revocation"]["created_at"]
    assert act == {
        **CLEAN,
        "user_id": "grace",
        "tokens_valid_after": created_at + 1,
        "reason": "lost phone",
        "revocation": {
            "created_at": created_at,
            "tokens_valid_after": created_at + 1,
            "kind": "revocation",
        },
        "stream": {"state": "absent", "last_error": None},
    }


def test_a_user_whom_nobody_knows_has_a_clean_state(world: World) -> None:
    """Every legal id has one, also one with every character that an id may have."""
    for user_id in ("nobody", "a-b_c@9", "x" * 255):
        assert world.state(user_id) == {"user_id": user_id, **CLEAN}


@pytest.mark.parametrize("path", ["v@acme", "v%40acme"])
def test_an_id_may_hold_an_at_sign(world: World, path: str) -> None:
    """As it is or percent-encoded in the path: both are the same user."""
    answer = world.operator.request("PUT", f"/v1/users/{path}/suspension")
    assert answer.json["user_id"] == "v@acme"
    assert world.backend.post("/v1/token", json={"user_id": "v@acme"}).code == "user_suspended"


@pytest.mark.sec(32)
def test_a_suspended_user_gets_nothing_from_anybody(world: World) -> None:
    """Neither a fresh sign-in nor the word of a vouching client helps; reinstating does."""
    user = world.signed_in("mallory")
    answer = world.suspend("mallory", json={"reason": "spam"})
    cut_off = answer.json["tokens_valid_after"]
    assert (answer.json["suspended"], answer.json["reason"]) == (True, "spam")
    assert answer.json["suspended_at"] == answer.json["revocation"]["created_at"]
    assert answer.json["revocation"]["kind"] == "suspension"
    assert answer.json["holds_until"] == "reinstatement"
    fresh = world.signed_in("mallory", at=cut_off + CLOCK_AHEAD)
    for asking in (user, fresh):
        refused = asking.post("/v1/token")
        assert (refused.status, refused.code) == (403, "user_suspended")
    for service in (world.backend, world.voucher):
        assert service.post("/v1/token", json={"user_id": "mallory"}).code == "user_suspended"

    reinstated = world.reinstate("mallory", query={"reason": "appeal"})
    assert reinstated.json["suspended"] is False
    assert reinstated.json["tokens_valid_after"] == cut_off
    assert reinstated.json["holds_until"] == "next_sign_in"
    assert user.post("/v1/token").code == "sign_in_required"
    assert minted(fresh).status == 200


def test_a_repeat_changes_nothing(world: World) -> None:
    """A second suspension and a second reinstatement are answered with the state as it is."""
    first = world.suspend("eve").json
    second = world.suspend("eve", json={"reason": "again"}).json
    assert second["revocation"] == first["revocation"]
    assert second["reason"] is None
    assert world.reinstate("eve").json["suspended"] is False
    assert world.reinstate("eve").json["suspended"] is False
    subject = {"subject": "eve"}
    events = world.operator.get("/v1/audit", query=subject).json["items"]
    assert [event["action"] for event in events] == ["user:reinstated", "user:suspended"]


def test_who_was_never_suspended_is_reinstated_without_a_trace(world: World) -> None:
    """The state is answered, and the user does not come to be listed."""
    assert world.reinstate("blameless").json == {
        "user_id": "blameless",
        **CLEAN,
        "holds_until": None,
    }
    everybody = world.operator.get("/v1/users", query={"limit": 200}).json["items"]
    assert "blameless" not in [user["user_id"] for user in everybody]


def test_an_undo_lets_old_credentials_work_again(world: World) -> None:
    """It warns of that; a repeat has no effect; and no token is dated before the floor."""
    user = world.signed_in("oops")
    act = world.revoke("oops").json
    assert user.post("/v1/token").code == "sign_in_required"
    for _ in range(2):
        undone = world.undo("oops", act["revocation"]["id"], query={"reason": "a mistake"})
        assert undone.status == 200
        assert undone.json["warning"] == UNDO_WARNING
        assert undone.json["tokens_valid_after"] is None
        assert undone.json["revocation"] is None
        assert undone.json["holds_until"] is None
    assert claims(minted(user))["iat"] >= act["tokens_valid_after"]


def test_only_the_latest_act_that_stands_can_be_undone(world: World) -> None:
    """A superseded one, one of a suspended user and one that is not there are each refused."""
    first = world.revoke("twice").json["revocation"]["id"]
    second = world.suspend("twice").json["revocation"]["id"]
    for act_id, status, code in (
        (second, 409, "user_suspended"),
        (first, 409, "user_suspended"),
        ("rev_00000000000000ffffffff", 404, "not_found"),
        ("%00", 404, "not_found"),
        ("é", 404, "not_found"),
    ):
        answer = world.undo("twice", act_id, valid=False)
        assert (answer.status, answer.code) == (status, code)
    world.reinstate("twice")
    assert world.undo("twice", first).code == "superseded"
    assert world.undo("twice", second).json["revocation"]["id"] == first
    assert world.undo("twice", first).json["revocation"] is None


@pytest.mark.sec(32)
def test_a_service_must_say_when_the_user_signed_in(world: World) -> None:
    """Under a cut-off its mint needs a later `auth_time`, unless its word is a fresh sign-in."""
    assert world.backend.post("/v1/token", json={"user_id": "bob"}).status == 200
    cut_off = world.revoke("bob").json["tokens_valid_after"]
    for auth_time in ({}, {"auth_time": cut_off - 60}, {"auth_time": cut_off + CLOCK_AHEAD - 1}):
        refused = minted(world.backend, user_id="bob", **auth_time)
        assert refused.code == "sign_in_required"
        assert refused.json["sign_in_after"] == cut_off + CLOCK_AHEAD
    assert minted(world.voucher, user_id="bob").status == 200
    while True:
        asked = {"user_id": "bob", "auth_time": cut_off + CLOCK_AHEAD}
        answer = world.backend.post("/v1/token", json=asked, valid=False)
        if answer.status == 200:
            break
        assert answer.status == 503


def test_where_only_the_time_of_issue_is_known(world: World) -> None:
    """The provider's next token passes, and the answer says so beforehand."""
    user_id = "silent-sam"
    act = world.revoke(user_id).json
    assert act["holds_until"] == "next_token"
    cut_off = act["tokens_valid_after"]
    assert world.signed_in_silently(user_id, cut_off - 1).post("/v1/token").code == (
        "sign_in_required"
    )
    assert minted(world.signed_in_silently(user_id, cut_off + CLOCK_AHEAD)).status == 200
    assert world.suspend(user_id).json["holds_until"] == "reinstatement"
    assert world.signed_in_silently(user_id, cut_off + CLOCK_AHEAD).post("/v1/token").code == (
        "user_suspended"
    )


def test_users_sign_themselves_out(world: World) -> None:
    """The user's own act; the credential that asked for it is covered too."""
    user = world.signed_in("self")
    rehearsed = user.post("/v1/me/revocations", query={"dry_run": True})
    assert rehearsed.json["dry_run"] is True
    act = user.post("/v1/me/revocations", json={"reason": "new phone"})
    assert (act.json["user_id"], act.json["reason"]) == ("self", "new phone")
    for refused in (user.post("/v1/token"), user.post("/v1/me/revocations")):
        assert refused.code == "sign_in_required"
    (event,) = world.operator.get("/v1/audit", query={"subject": "self"}).json["items"]
    assert (event["actor"], event["action"]) == ("self", "user:revoked")
    assert event["request_id"] == act.headers["X-Request-Id"]


def test_a_service_has_nobody_to_sign_out_but_others(world: World) -> None:
    """The route of one's own is for users, and a suspended one has no use of it."""
    refused = world.operator.post("/v1/me/revocations")
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    user = world.signed_in("banned")
    world.suspend("banned")
    assert user.post("/v1/me/revocations").code == "user_suspended"


@pytest.mark.parametrize("kind", ["revocation", "suspension"])
def test_a_rehearsal_says_what_would_be(world: World, kind: str) -> None:
    """With `dry_run` each act answers the state to come, and nothing is kept or told."""
    user_id = f"rehearsed-{kind}"
    user = world.signed_in(user_id)
    act = world.suspend if kind == "suspension" else world.revoke
    would = act(user_id, query={"dry_run": True}, headers={"Prefer": "wait=10"})
    assert would.json["dry_run"] is True
    assert would.json["revocation"]["kind"] == kind
    assert would.json["holds_until"] in {"next_sign_in", "reinstatement"}
    assert "Preference-Applied" not in would.headers
    assert world.state(user_id) == {"user_id": user_id, **CLEAN}
    assert user.post("/v1/token").status == 200
    assert world.operator.get("/v1/audit", query={"subject": user_id}).json["items"] == []


def test_a_rehearsed_end_ends_nothing(world: World) -> None:
    """Undoing and reinstating are rehearsed in the same way."""
    act = world.suspend("kept").json
    would = world.reinstate("kept", query={"dry_run": True}).json
    assert (would["dry_run"], would["suspended"]) == (True, False)
    assert world.state("kept")["suspended"]
    world.reinstate("kept")
    would = world.undo("kept", act["revocation"]["id"], query={"dry_run": True}).json
    assert (would["dry_run"], would["tokens_valid_after"]) == (True, None)
    assert world.state("kept")["tokens_valid_after"] == act["tokens_valid_after"]


def test_stream_is_told(world: World) -> None:
    """An act waits for it where it is asked to; an undo takes it back there too."""
    world.make_stream_user("told")
    act = world.revoke("told", headers={"Prefer": "respond-async, wait=10"})
    assert act.headers["Preference-Applied"] == "wait=10"
    assert act.json["stream"]["state"] == "applied"
    assert world.stream.app.users["told"][CUT_OFF] == rfc3339(act.json["tokens_valid_after"])
    undone = world.undo("told", act.json["revocation"]["id"], headers={"Prefer": "wait=10"})
    assert undone.json["stream"]["state"] == "applied"
    assert world.stream.app.users["told"][CUT_OFF] is None


def test_nobody_waits_unasked(world: World) -> None:
    """While Stream hangs an act is answered at once, or at the end of the wait, as pending."""
    world.make_stream_user("waiting")
    hanging = world.stream.faults.hang("PATCH /users")
    act = world.revoke("waiting")
    assert "Preference-Applied" not in act.headers
    assert act.json["stream"]["state"] == "pending"
    waited = world.revoke("waiting", headers={"Prefer": "wait=1"})
    assert waited.headers["Preference-Applied"] == "wait=1"
    assert waited.json["stream"]["state"] == "pending"
    hanging.release()


def pages(client: Client, **query: object) -> list[list[str]]:
    """Give the user ids of a list, page by page."""
    found = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/v1/users", query={**query, **after}).json
        found.append([user["user_id"] for user in page["items"]])
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def test_users_are_listed_by_page(world: World) -> None:
    """Everybody who was ever revoked or suspended is on one page, and only those asked for."""
    for number in range(5):
        world.make_stream_user(f"list-{number}")
        act = world.suspend if number % 2 else world.revoke
        act(f"list-{number}", headers={"Prefer": "wait=10"})  # told, so that it changes no more
    (everybody,) = pages(world.operator, limit=200)
    assert everybody == sorted(everybody)
    assert {f"list-{number}" for number in range(5)} <= set(everybody)
    split = pages(world.operator, limit=2)
    assert [user for page in split for user in page] == everybody
    assert {len(page) for page in split[:-1]} == {2}
    (suspended,) = pages(world.operator, limit=200, suspended=True)
    (others,) = pages(world.operator, limit=200, suspended=False)
    assert {"list-1", "list-3"} <= set(suspended)
    assert {"list-0", "list-2", "list-4"} <= set(others)
    assert sorted(suspended + others) == everybody
    listed = world.operator.get("/v1/users", query={"limit": 200}).json["items"]
    shown = next(user for user in listed if user["user_id"] == "list-1")
    assert shown == world.state("list-1")
