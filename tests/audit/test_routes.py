"""`GET /v1/audit` on a running service."""

from collections.abc import Iterator

import pytest

from testing.http_client import Client
from tests.revocations.live import World, running_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a service on which ada was revoked, suspended, reinstated and let off again."""
    with running_world(tmp_path_factory.mktemp("audit")) as running:
        running.revoke("ada", json={"reason": "lost phone"})
        act = running.suspend("ada", json={"reason": "spam"}).json["revocation"]["id"]
        running.suspend("ada")
        running.reinstate("ada", query={"reason": "appeal"})
        running.undo("ada", act)
        running.undo("ada", act)
        yield running


def events(client: Client, **query: object) -> list[dict[str, object]]:
    items: list[dict[str, object]] = client.get("/v1/audit", query=query).json["items"]
    return items


@pytest.mark.sec(59)
def test_each_act_is_an_event(world: World) -> None:
    """Who, what, whom, how it ended, why; an act that changed nothing is none."""
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
def test_an_event_names_its_request(world: World) -> None:
    """The log line of that request has the same id, and tells from where it came."""
    answer = world.revoke("grace")
    request_id = answer.headers["X-Request-Id"]
    (event,) = events(world.operator, request_id=request_id)
    assert event["subject"] == "grace"
    (line,) = [line for line in world.service.log_lines() if line.get("request_id") == request_id]
    assert (line["client"], line["user_id"]) == ("127.0.0.1", "grace")
    assert line["client_id"] == event["actor"]


def test_the_trail_is_read_by_page(world: World) -> None:
    """Each event is on one page, and the pages end."""
    whole = events(world.operator, limit=200)
    found: list[dict[str, object]] = []
    after: dict[str, object] = {}
    while True:
        page = world.operator.get("/v1/audit", query={"limit": 3, **after}).json
        found += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == whole


def test_filters_go_together(world: World) -> None:
    """An event must have all of what is asked for; what nobody did is nothing."""
    (suspended,) = events(world.operator, subject="ada", action="user:suspended")
    actor = suspended["actor"]
    assert events(world.operator, actor=actor, action="user:suspended", subject="ada")
    assert not events(world.operator, actor="cli:nobody")
    assert not events(world.operator, outcome="failed")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "user=ada", "subject=%00", "after=%00", "subject=a&subject=b"],
)
def test_a_trail_that_is_asked_for_wrongly(world: World, query: str) -> None:
    """400 that says what is wrong."""
    assert world.operator.get("/v1/audit", query=query, valid=False).code == "malformed_request"


@pytest.mark.sec(59)
def test_a_refused_act_is_in_the_log_and_not_on_the_trail(world: World) -> None:
    """The trail has what was done; the line says who wanted which route, from where, why not."""
    refused = world.backend.request("PUT", "/v1/users/heidi/suspension", json={"reason": "spam"})
    assert refused.status == 403
    assert events(world.operator, subject="heidi") == []
    request_id = refused.headers["X-Request-Id"]
    (line,) = [line for line in world.service.log_lines() if line.get("request_id") == request_id]
    assert (line["status"], line["code"]) == (403, "insufficient_scope")
    assert (line["client"], line["method"]) == ("127.0.0.1", "PUT")
    assert str(line["client_id"]).startswith("svc.")


def test_mints_are_not_on_the_trail(world: World) -> None:
    """They are logged and counted: the trail is for what changes something."""
    before = events(world.operator, limit=200)
    assert world.signed_in("minter").post("/v1/token").status == 200
    assert events(world.operator, limit=200) == before
