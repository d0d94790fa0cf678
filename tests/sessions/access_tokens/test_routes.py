"""`/v1/signing-keys…` and the published keys on a running service, and its rotation by itself."""

from typing import Any

import pytest

from testing.http_client import Client
from testing.response import Response
from testing.waiting import wait_until
from testing.world import World, running_world

KEYS = "/v1/signing-keys"
JWKS = "/.well-known/jwks.json"
SOON = {
    "TOKENSVC_ACCOUNTS__ENABLED": "true",
    "TOKENSVC_SESSIONS__JWKS_MAX_AGE": "1",
    "TOKENSVC_SESSIONS__ACCESS_TTL": "10",
}


class SigningKeysWorld(World):
    """A service and its signing keys."""

    def listed(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.operator.get(KEYS).json["items"]
        return items

    def in_state(self, state: str) -> str | None:
        return next((key["id"] for key in self.listed() if key["state"] == state), None)

    def rotate(self, **options: Any) -> Response:
        return self.operator.post(f"{KEYS}/rotate", **options)

    def retire(self, key_id: str, **options: Any) -> Response:
        return self.operator.post(f"{KEYS}/{key_id}/retire", **options)

    def published(self) -> list[str]:
        return [key["kid"] for key in self.anonymous.get(JWKS).json["keys"]]

    def actions(self) -> list[tuple[str, str]]:
        events = self.operator.get("/v1/audit", query={"limit": 200}).json["items"]
        return [
            (event["actor"], event["action"])
            for event in events
            if event["action"].startswith("signing_key:")
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Run one service of two workers for all tests."""
    settings = {**SOON, "TOKENSVC_WORKERS": "2"}
    with running_world(tmp_path_factory.mktemp("service"), SigningKeysWorld, **settings) as world:
        yield world


def test_key_becomes_active_and_its_predecessor_retired_without_an_action(world):
    first = world.in_state("active")
    assert world.published() == [first]
    made = world.rotate(json={"reason": "test"})
    assert (made.status, made.json["state"]) == (200, "standby")
    assert world.rotate().json == made.json
    second = made.json["id"]
    assert world.published() == [second, first]
    wait_until(lambda: world.in_state("active") == second, "the next key signs")
    assert world.published() == [second, first]
    wait_until(lambda: world.in_state("retiring") is None, "the previous key is retired", 60)
    assert world.published() == [second]
    assert world.actions() == [
        ("service:rotation", "signing_key:retired"),
        ("service:rotation", "signing_key:activated"),
        ("service:rotation", "signing_key:retiring"),
        ("svc.operator", "signing_key:added"),
        ("service:rotation", "signing_key:added"),
    ]


@pytest.mark.sec(37)
def test_retired_key_is_published_by_no_worker_after_the_response(world):
    first = world.in_state("active")
    world.rotate()
    wait_until(lambda: world.in_state("active") != first, "the next key signs")
    retired = world.retire(first)
    for _ in range(20):
        anonymous = Client(world.service.base_url)
        assert first not in [key["kid"] for key in anonymous.get(JWKS).json["keys"]]
    assert (retired.status, retired.json["state"]) == (200, "retired")
    assert world.retire(first).json == retired.json
    assert world.operator.get(f"{KEYS}/{first}").json == retired.json


@pytest.mark.sec(37)
def test_active_key_is_not_retired_and_a_dry_run_changes_nothing(world):
    before = world.listed()
    active = world.in_state("active")
    refused = world.retire(active)
    assert (refused.status, refused.code) == (409, "conflict")
    would = world.rotate(query={"dry_run": True})
    assert (would.status, would.json["dry_run"], would.json["state"]) == (200, True, "standby")
    assert world.listed() == before


def test_published_keys_are_cacheable_for_the_period_of_the_rotation(world):
    response = world.anonymous.get(JWKS)
    assert response.headers["Cache-Control"] == "public, max-age=1"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Vary"] == "Origin"
    assert "Pragma" not in response.headers
    assert world.anonymous.get(JWKS, query={"kid": "x"}, valid=False).code == "malformed_request"


@pytest.mark.sec(25, 58)
def test_responses_and_log_contain_no_private_key(world):
    shown = world.operator.get(KEYS).text + world.service.log_path.read_text()
    assert "gAAAA" not in shown
    assert all("d" not in key for key in world.anonymous.get(JWKS).json["keys"])


def test_unknown_key_gets_404_and_an_unknown_member_400(world):
    assert world.operator.get(f"{KEYS}/sig_unknown").code == "not_found"
    assert world.retire("sig_unknown").code == "not_found"
    refused = world.rotate(json={"reasons": "x"}, valid=False)
    assert refused.code == "malformed_request"
    assert "`reason`" in refused.json["detail"]


def test_service_is_ready_only_with_a_readable_ring(world):
    assert world.check("signing_keys")["state"] == "ok"


def test_service_without_accounts_has_no_signing_keys(tmp_path):
    with running_world(tmp_path, SigningKeysWorld) as world:
        assert world.anonymous.get(JWKS).code == "not_found"
        for path in (KEYS, f"{KEYS}/sig_1"):
            assert world.operator.get(path).code == "not_found"
        assert world.rotate().code == "not_found"
        assert world.retire("sig_1").code == "not_found"
        assert world.actions() == []
        ended = world.command("signing-keys", "list")
        assert (ended.code, "accounts.enabled" in ended.err) == (1, True)
