"""`GET /v1/audit` on a running service."""

from collections.abc import Iterator

import pytest

from testing.http_client import Client
from testing.world import World, running_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Yield a service after several actions on ada."""
    with running_world(tmp_path_factory.mktemp("audit")) as running:
        running.revoke("ada", json={"reason": "lost phone"})
        revocation_id = running.suspend("ada", json={"reason": "spam"}).json["revocation"]["id"]
        running.suspend("ada")
        running.reinstate("ada", query={"reason": "appeal"})
        running.undo("ada", revocation_id)
        running.undo("ada", revocation_id)
        yield running


def events(client: Client, **query: object) -> list[dict[str, object]]:
    items: list[dict[str, object]] = client.get("/v1/audit", query=query).json["items"]
    return items


@pytest.mark.sec(59)
def test_each_action_has_one_event(world: World) -> None:
    """An action that changed nothing has none."""
    found = events(world.operator, subject="ada")
    assert [(event["action"], event["reason"]) for event in found] == [
        ("user:revocation_undone", None),
        ("user:reinstated", "appeal"),
        ("user:suspended", "spam"),
        ("user:revoked", "lost phone"),
    ]
    assert {event["outcome"] for event in found} == {"ok"}
    assert all(str(event["actor"]).startswith("svc.") for event in found)


@pytest.mark.sec(59)
def test_event_has_the_request_id_of_the_log_line(world: World) -> None:
    """The log line has the client's address."""
    response = world.revoke("grace")
    request_id = response.headers["X-Request-Id"]
    (event,) = events(world.operator, request_id=request_id)
    assert event["subject"] == "grace"
    (line,) = [line for line in world.service.log_lines() if line.get("request_id") == request_id]
    assert (line["client"], line["user_id"]) == ("127.0.0.1", "grace")
    assert line["client_id"] == event["actor"]


def test_each_event_is_on_exactly_one_page(world: World) -> None:
    whole = events(world.operator, limit=200)
    pages = world.operator.pages("/v1/audit", limit=3)
    assert [event for page in pages for event in page] == whole


def test_event_must_match_all_filters(world: World) -> None:
    (suspended,) = events(world.operator, subject="ada", action="user:suspended")
    actor = suspended["actor"]
    assert events(world.operator, actor=actor, action="user:suspended", subject="ada")
    assert not events(world.operator, actor="cli:unknown")
    assert not events(world.operator, outcome="failed")
    assert not events(world.operator, subject="' OR 1=1 --")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "user=ada", "subject=%00", "after=%00", "subject=a&subject=b"],
)
def test_invalid_query_gets_400(world: World, query: str) -> None:
    assert world.operator.get("/v1/audit", query=query, valid=False).code == "malformed_request"


@pytest.mark.sec(59)
def test_refused_action_is_logged_and_not_audited(world: World) -> None:
    refused = world.backend.request("PUT", "/v1/users/heidi/suspension", json={"reason": "spam"})
    assert refused.status == 403
    assert events(world.operator, subject="heidi") == []
    request_id = refused.headers["X-Request-Id"]
    (line,) = [line for line in world.service.log_lines() if line.get("request_id") == request_id]
    assert (line["status"], line["code"]) == (403, "insufficient_scope")
    assert (line["client"], line["method"]) == ("127.0.0.1", "PUT")
    assert str(line["client_id"]).startswith("svc.")
