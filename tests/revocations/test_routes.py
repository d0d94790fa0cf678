"""Actions over HTTP: what each refuses after its response, what it returns, and how it ends."""

import pytest

from testing.http_client import Client
from testing.waiting import wait_until
from testing.world import CLOCK_AHEAD, World, claims, minted
from tokensvc.revocations.state import UNDO_WARNING
from tokensvc.stream.api import rfc3339
from tokensvc.stream.delivery import store as deliveries

CUT_OFF = "revoke_tokens_issued_before"
CLEAN = {
    "suspended": False,
    "suspended_at": None,
    "tokens_valid_after": None,
    "reason": None,
    "sessions": 0,
    "revocation": None,
    "stream": {"state": "none", "updated_at": None, "last_error": None},
    "erasure": None,
}


@pytest.mark.sec(32)
def test_revoked_user_must_sign_in_again(world: World) -> None:
    """The token of the new sign-in is not below the cut-off."""
    user = world.signed_in("ada")
    assert user.post("/v1/token").status == 200
    response = world.revoke("ada", json={"reason": "lost phone"})
    assert response.status == 200
    cut_off = response.json["tokens_valid_after"]
    refused = user.post("/v1/token")
    assert (refused.status, refused.code) == (401, "sign_in_required")
    assert refused.json["sign_in_after"] == cut_off + CLOCK_AHEAD
    assert user.get("/v1/me").code == "sign_in_required"
    again = world.signed_in("ada", at=cut_off + CLOCK_AHEAD)
    assert claims(minted(again))["iat"] >= cut_off


def test_revocation_returns_the_new_state(world: World) -> None:
    """A later read returns the same state."""
    result = world.revoke(
        "grace", json={"reason": "lost phone"}, headers={"Prefer": "wait=10"}
    ).json
    assert result.pop("holds_until") == "next_sign_in"
    later = world.state("grace")
    for state in (result, later):  # the calls after the cut-off go on meanwhile
        assert state["stream"].pop("devices")
        assert state["stream"].pop("notified")
    assert result == later
    assert result["stream"].pop("updated_at") >= result["revocation"]["created_at"]
    assert result["revocation"].pop("id").startswith("rev_")
    created_at = result["revocation"]["created_at"]
    assert result == {
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


def test_suspended_user_whom_an_old_token_creates_at_stream_loses_the_devices(world: World) -> None:
    """The service asks for the user; that does not need to wait here."""
    world.suspend("newcomer")
    wait_until(lambda: progress(world, "newcomer") == {"absent"}, "Stream does not have the user")
    world.make_stream_user("newcomer")
    world.stream.devices.add("newcomer", "phone")
    with world.database.write() as tx:
        deliveries.postpone(tx, "user", "newcomer", 0)
    wait_until(lambda: progress(world, "newcomer") == {"applied"}, "the user is reached")
    assert world.stream.devices.of("newcomer") == []


def progress(world: World, user_id: str) -> set[str]:
    """Return the states of the cut-off, the hint and the removal of devices."""
    stream = world.state(user_id)["stream"]
    return {stream["state"], stream["notified"], stream["devices"]}


def test_unknown_user_has_a_clean_state(world: World) -> None:
    for user_id in ("unknown-user", "a-b_c@9", "x" * 255):
        assert world.state(user_id) == {"user_id": user_id, **CLEAN}


@pytest.mark.parametrize("path", ["v@acme", "v%40acme"])
def test_at_sign_in_the_path_may_be_percent_encoded(world: World, path: str) -> None:
    response = world.operator.request("PUT", f"/v1/users/{path}/suspension")
    assert response.json["user_id"] == "v@acme"
    assert world.backend.post("/v1/token", json={"user_id": "v@acme"}).code == "user_suspended"


@pytest.mark.sec(32)
def test_suspended_user_gets_no_token(world: World) -> None:
    """Not with a new sign-in or through a vouching client. A reinstatement ends it."""
    user = world.signed_in("mallory")
    response = world.suspend("mallory", json={"reason": "spam"})
    cut_off = response.json["tokens_valid_after"]
    assert (response.json["suspended"], response.json["reason"]) == (True, "spam")
    assert response.json["suspended_at"] == response.json["revocation"]["created_at"]
    assert response.json["revocation"]["kind"] == "suspension"
    assert response.json["holds_until"] == "reinstatement"
    fresh = world.signed_in("mallory", at=cut_off + CLOCK_AHEAD)
    for asking in (user, fresh):
        refused = asking.post("/v1/token")
        assert (refused.status, refused.code) == (403, "user_suspended")
    for service in (world.backend, world.vouching):
        assert service.post("/v1/token", json={"user_id": "mallory"}).code == "user_suspended"

    reinstated = world.reinstate("mallory", query={"reason": "appeal"})
    assert reinstated.json["suspended"] is False
    assert reinstated.json["tokens_valid_after"] == cut_off
    assert reinstated.json["holds_until"] == "next_sign_in"
    assert user.post("/v1/token").code == "sign_in_required"
    assert minted(fresh).status == 200


def test_repeated_suspension_and_reinstatement_return_the_state(world: World) -> None:
    """They write no event."""
    first = world.suspend("eve").json
    second = world.suspend("eve", json={"reason": "again"}).json
    assert second["revocation"] == first["revocation"]
    assert second["reason"] is None
    assert world.reinstate("eve").json["suspended"] is False
    assert world.reinstate("eve").json["suspended"] is False
    subject = {"subject": "eve"}
    events = world.operator.get("/v1/audit", query=subject).json["items"]
    assert [event["action"] for event in events] == ["user:reinstated", "user:suspended"]


def test_reinstating_a_clean_user_creates_no_row(world: World) -> None:
    assert world.reinstate("blameless").json == {
        "user_id": "blameless",
        **CLEAN,
        "holds_until": None,
    }
    all_ids = world.operator.get("/v1/users", query={"limit": 200}).json["items"]
    assert "blameless" not in [user["user_id"] for user in all_ids]


def test_undo_makes_earlier_credentials_valid_again(world: World) -> None:
    """The response has a warning, a repetition changes nothing, and tokens stay above the floor."""
    user = world.signed_in("oops")
    result = world.revoke("oops").json
    assert user.post("/v1/token").code == "sign_in_required"
    for _ in range(2):
        undone = world.undo("oops", result["revocation"]["id"], query={"reason": "a mistake"})
        assert undone.status == 200
        assert undone.json["warning"] == UNDO_WARNING
        assert undone.json["tokens_valid_after"] is None
        assert undone.json["revocation"] is None
        assert undone.json["holds_until"] is None
    assert claims(minted(user))["iat"] >= result["tokens_valid_after"]


def test_only_the_latest_revocation_can_be_undone(world: World) -> None:
    """A superseded one, one of a suspended user and an unknown one are refused."""
    first = world.revoke("twice").json["revocation"]["id"]
    second = world.suspend("twice").json["revocation"]["id"]
    for revocation_id, status, code in (
        (second, 409, "user_suspended"),
        (first, 409, "user_suspended"),
        (world.revoke("another").json["revocation"]["id"], 404, "not_found"),
        ("rev_00000000000000ffffffff", 404, "not_found"),
        ("%00", 404, "not_found"),
        ("é", 404, "not_found"),
    ):
        response = world.undo("twice", revocation_id, valid=False)
        assert (response.status, response.code) == (status, code)
    world.reinstate("twice")
    assert world.undo("twice", first).code == "superseded"
    assert world.undo("twice", second).json["revocation"]["id"] == first
    assert world.undo("twice", first).json["revocation"] is None


@pytest.mark.sec(32)
def test_service_mint_after_a_revocation_needs_a_later_auth_time(world: World) -> None:
    """A vouching client needs none."""
    assert world.backend.post("/v1/token", json={"user_id": "bob"}).status == 200
    cut_off = world.revoke("bob").json["tokens_valid_after"]
    for auth_time in ({}, {"auth_time": cut_off - 60}, {"auth_time": cut_off + CLOCK_AHEAD - 1}):
        refused = minted(world.backend, user_id="bob", **auth_time)
        assert refused.code == "sign_in_required"
        assert refused.json["sign_in_after"] == cut_off + CLOCK_AHEAD
    assert minted(world.vouching, user_id="bob").status == 200
    ahead = {"user_id": "bob", "auth_time": cut_off + 3600}
    for service in (world.backend, world.vouching):
        assert service.post("/v1/token", json=ahead).code == "malformed_request"
    while True:
        asked = {"user_id": "bob", "auth_time": cut_off + CLOCK_AHEAD}
        response = world.backend.post("/v1/token", json=asked, valid=False)
        if response.status == 200:
            break
        assert response.status == 503


def test_next_token_of_an_issuer_without_sign_in_time_passes_a_revocation(world: World) -> None:
    """`holds_until` says so."""
    user_id = "silent-sam"
    result = world.revoke(user_id).json
    assert result["holds_until"] == "next_token"
    cut_off = result["tokens_valid_after"]
    assert world.signed_in_silently(user_id, cut_off - 1).post("/v1/token").code == (
        "sign_in_required"
    )
    assert minted(world.signed_in_silently(user_id, cut_off + CLOCK_AHEAD)).status == 200
    assert world.suspend(user_id).json["holds_until"] == "reinstatement"
    assert world.signed_in_silently(user_id, cut_off + CLOCK_AHEAD).post("/v1/token").code == (
        "user_suspended"
    )


def test_user_revokes_own_sign_ins(world: World) -> None:
    """The credential of the request is refused afterwards too."""
    user = world.signed_in("self")
    rehearsed = user.post("/v1/me/revocations", query={"dry_run": True})
    assert rehearsed.json["dry_run"] is True
    result = user.post("/v1/me/revocations", json={"reason": "new phone"})
    assert (result.json["user_id"], result.json["reason"]) == ("self", "new phone")
    for refused in (user.post("/v1/token"), user.post("/v1/me/revocations")):
        assert refused.code == "sign_in_required"
    (event,) = world.operator.get("/v1/audit", query={"subject": "self"}).json["items"]
    assert (event["actor"], event["action"]) == ("self", "user:revoked")
    assert event["request_id"] == result.headers["X-Request-Id"]


def test_own_revocation_is_refused_to_services_and_suspended_users(world: World) -> None:
    refused = world.operator.post("/v1/me/revocations")
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    user = world.signed_in("banned")
    world.suspend("banned")
    assert user.post("/v1/me/revocations").code == "user_suspended"


@pytest.mark.parametrize("kind", ["revocation", "suspension"])
def test_dry_run_returns_the_result_and_changes_nothing(world: World, kind: str) -> None:
    user_id = f"rehearsed-{kind}"
    user = world.signed_in(user_id)
    action = world.suspend if kind == "suspension" else world.revoke
    dry_run = action(user_id, query={"dry_run": True}, headers={"Prefer": "wait=10"})
    assert dry_run.json["dry_run"] is True
    assert dry_run.json["revocation"]["kind"] == kind
    assert dry_run.json["holds_until"] in {"next_sign_in", "reinstatement"}
    assert "Preference-Applied" not in dry_run.headers
    assert world.state(user_id) == {"user_id": user_id, **CLEAN}
    assert user.post("/v1/token").status == 200
    assert world.operator.get("/v1/audit", query={"subject": user_id}).json["items"] == []


def test_dry_run_of_reinstatement_and_undo_changes_nothing(world: World) -> None:
    result = world.suspend("kept").json
    dry_run = world.reinstate("kept", query={"dry_run": True}).json
    assert (dry_run["dry_run"], dry_run["suspended"]) == (True, False)
    assert world.state("kept")["suspended"]
    world.reinstate("kept")
    dry_run = world.undo("kept", result["revocation"]["id"], query={"dry_run": True}).json
    assert (dry_run["dry_run"], dry_run["tokens_valid_after"]) == (True, None)
    assert world.state("kept")["tokens_valid_after"] == result["tokens_valid_after"]


def test_wait_returns_when_stream_has_the_cut_off(world: World) -> None:
    """Stream gets an undo too."""
    world.make_stream_user("told")
    result = world.revoke("told", headers={"Prefer": "respond-async, wait=10"})
    assert result.headers["Preference-Applied"] == "wait=10"
    assert result.json["stream"]["state"] == "applied"
    assert world.stream.app.users["told"][CUT_OFF] == rfc3339(result.json["tokens_valid_after"])
    undone = world.undo("told", result.json["revocation"]["id"], headers={"Prefer": "wait=10"})
    assert undone.json["stream"]["state"] == "applied"
    assert world.stream.app.users["told"][CUT_OFF] is None


def test_response_is_pending_while_stream_hangs(world: World) -> None:
    """Without `Prefer` it comes immediately, with it after the wait."""
    world.make_stream_user("waiting")
    hanging = world.stream.faults.hang("PATCH /users")
    result = world.revoke("waiting")
    assert "Preference-Applied" not in result.headers
    assert result.json["stream"]["state"] == "pending"
    waited = world.revoke("waiting", headers={"Prefer": "wait=1"})
    assert waited.headers["Preference-Applied"] == "wait=1"
    assert waited.json["stream"]["state"] == "pending"
    hanging.release()


def pages(client: Client, **query: object) -> list[list[str]]:
    """Return the user IDs of a list, page by page."""
    return [[user["user_id"] for user in page] for page in client.pages("/v1/users", **query)]


def test_list_has_each_user_on_exactly_one_page(world: World) -> None:
    """It has users who were ever revoked or suspended, filtered by `suspended`."""
    for number in range(5):
        world.make_stream_user(f"list-{number}")
        action = world.suspend if number % 2 else world.revoke
        # Wait until Stream has it, so that the state no longer changes.
        action(f"list-{number}", headers={"Prefer": "wait=10"})
    (all_ids,) = pages(world.operator, limit=200)
    assert all_ids == sorted(all_ids)
    assert {f"list-{number}" for number in range(5)} <= set(all_ids)
    split = pages(world.operator, limit=2)
    assert [user for page in split for user in page] == all_ids
    assert {len(page) for page in split[:-1]} == {2}
    (suspended,) = pages(world.operator, limit=200, suspended=True)
    (others,) = pages(world.operator, limit=200, suspended=False)
    assert {"list-1", "list-3"} <= set(suspended)
    assert {"list-0", "list-2", "list-4"} <= set(others)
    assert sorted(suspended + others) == all_ids
    listed = world.operator.get("/v1/users", query={"limit": 200}).json["items"]
    shown = next(user for user in listed if user["user_id"] == "list-1")
    assert shown == world.state("list-1")
