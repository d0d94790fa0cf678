"""Actions on the app, and requests that wait, each on a service of its own."""

import threading

import pytest

from testing.world import CLOCK_AHEAD, World, minted, running_world
from tokensvc.stream.api import rfc3339

CUT_OFF = "revoke_tokens_issued_before"


@pytest.fixture
def alone(tmp_path):
    """Yield a service that no other test uses."""
    with running_world(tmp_path) as running:
        yield running


@pytest.mark.sec(32)
def test_app_revocation_signs_all_users_out(alone: World) -> None:
    """Unknown users too. A new sign-in mints, and Stream gets one call for the app."""
    users = [alone.signed_in(name) for name in ("ada", "bob")]
    alone.make_stream_user("ada")
    result = alone.operator.post(
        "/v1/app/revocations", json={"reason": "leak"}, headers={"Prefer": "wait=10"}
    )
    cut_off = result.json["tokens_valid_after"]
    assert result.json["holds_until"] == "next_token"
    assert result.json["stream"]["state"] == "applied"
    assert alone.stream.app.settings[CUT_OFF] == rfc3339(cut_off)
    assert not alone.stream.calls.to("PATCH", "/users")
    for user in (*users, alone.signed_in("never-seen")):
        assert user.post("/v1/token").code == "sign_in_required"
    assert minted(alone.backend, user_id="anybody").code == "sign_in_required"
    assert minted(alone.signed_in("ada", at=cut_off + CLOCK_AHEAD)).status == 200
    assert alone.state("ada")["tokens_valid_after"] is None
    app = alone.operator.get("/v1/app").json
    assert app["revocation"] == result.json["revocation"]
    assert app["reason"] == "leak"


def test_undo_of_an_app_revocation_keeps_the_cut_offs_of_users(alone: World) -> None:
    ada, bob = alone.signed_in("ada"), alone.signed_in("bob")
    own = alone.revoke("ada").json
    result = alone.operator.post("/v1/app/revocations").json
    path = f"/v1/app/revocations/{result['revocation']['id']}"
    assert alone.operator.request("DELETE", path, query={"dry_run": True}).json["dry_run"]
    assert bob.post("/v1/token").code == "sign_in_required"
    for _ in range(2):
        undone = alone.operator.request("DELETE", path, query={"reason": "drill"})
        assert undone.json["tokens_valid_after"] is None
        assert "stolen" in undone.json["warning"]
    assert minted(bob).status == 200
    assert ada.post("/v1/token").code == "sign_in_required"
    assert alone.state("ada")["tokens_valid_after"] == own["tokens_valid_after"]
    events = alone.operator.get("/v1/audit", query={"subject": "app"}).json["items"]
    assert [(event["action"], event["reason"]) for event in events] == [
        ("app:revocation_undone", "drill"),
        ("app:revoked", None),
    ]


def test_app_revocation_and_user_revocation_are_undone_separately(alone: World) -> None:
    """A dry run of an app revocation changes nothing."""
    assert alone.operator.post("/v1/app/revocations", query={"dry_run": True}).json["dry_run"]
    assert alone.operator.get("/v1/app").json["tokens_valid_after"] is None
    everyone = alone.operator.post("/v1/app/revocations").json["revocation"]["id"]
    own = alone.revoke("ada").json["revocation"]["id"]
    assert alone.undo("ada", everyone).code == "not_found"
    assert alone.operator.request("DELETE", f"/v1/app/revocations/{own}").code == "not_found"


def test_waiting_requests_leave_threads_for_mints(alone: World) -> None:
    """Three of eight threads may wait for Stream: the others mint or sign in."""
    alone.make_stream_user("ada")
    hanging = alone.stream.faults.hang("PATCH /users", times=None)
    alone.revoke("ada")
    alone.stream.calls.wait_for("PATCH", "/users")
    responses = []

    def wait() -> None:
        responses.append(alone.revoke("ada", headers={"Prefer": "wait=10"}))

    threads = [threading.Thread(target=wait) for _ in range(10)]
    for thread in threads:
        thread.start()
    while len(responses) < 7:  # those without a slot
        assert alone.signed_in("bob").post("/v1/token").status == 200
    hanging.release()
    for thread in threads:
        thread.join()
    waited = [response for response in responses if "Preference-Applied" in response.headers]
    assert {response.status for response in responses} == {200}
    assert len(waited) == 3
