"""`/v1/stream-keys…` on a running service, and mints after each request."""

from typing import Any

import pytest

from testing.doubles.stream_calls import connects
from testing.response import Response
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.world import World, running_world
from tokensvc.core.scopes import Scope
from tokensvc.stream.keys.routes import AddStreamKeyRequest

KEYS = "/v1/stream-keys"
SECRET = "another-secret-of-streams-dashboard-0123"
REGENERATED = "a-secret-that-the-dashboard-regenerated-45"


class KeysWorld(World):
    """A service and its Stream keys."""

    def add(self, api_key: str, secret: str, **options: Any) -> Response:
        """Add a pair, which Stream knows unless the test says otherwise."""
        self.stream.app.keys.setdefault(api_key, secret)
        body = {"api_key": api_key, "secret": secret, **options.pop("body", {})}
        return self.operator.post(KEYS, json=body, **options)

    def act(self, key_id: str, action: str, **options: Any) -> Response:
        return self.operator.post(f"{KEYS}/{key_id}/{action}", **options)

    def listed(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.operator.get(KEYS).json["items"]
        return items

    def mint(self, **body: Any) -> Response:
        return self.vouching.post("/v1/token", json={"user_id": "john", **body})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Run one service for all tests, each of which has API keys of its own."""
    settings = {"TOKENSVC_ACCOUNTS__ENABLED": "true"}
    with running_world(tmp_path_factory.mktemp("service"), KeysWorld, **settings) as world:
        yield world


@pytest.fixture
def seeded(world):
    """Activate the first key again, and return its ID."""
    (key,) = [key for key in world.listed() if key["api_key"] == STREAM_API_KEY]
    world.act(key["id"], "activate")
    return key["id"]


@pytest.mark.sec(37)
def test_key_signs_in_each_state_until_it_is_retired(world, seeded):
    assert world.mint(api_key="day").code == "api_key_unknown"

    added = world.add("day", SECRET, body={"reason": "yearly"})
    assert added.status == 201
    key_id = added.json["id"]
    assert added.headers["Location"] == f"{KEYS}/{key_id}"
    assert world.operator.get(added.headers["Location"]).json == added.json
    assert added.json["state"] == "standby"
    assert connects(world.stream, world.mint(api_key="day").json)
    assert world.mint().json["api_key"] == STREAM_API_KEY

    activated = world.act(key_id, "activate", json={"reason": "yearly"})
    assert activated.status == 200
    assert activated.json["state"] == "active"
    assert [key["id"] for key in activated.json["also_changed"]] == [seeded]
    unnamed = world.mint().json
    assert unnamed["api_key"] == "day"
    assert connects(world.stream, unnamed)
    assert connects(world.stream, world.mint(api_key=STREAM_API_KEY).json)

    world.act(seeded, "activate")
    retired = world.act(key_id, "retire")
    assert (retired.status, retired.json["state"]) == (200, "retired")
    assert "dashboard" in retired.json["warning"]
    assert world.mint(api_key="day").code == "api_key_unknown"
    assert world.act(key_id, "retire").status == 200
    assert world.act(key_id, "activate").code == "conflict"


@pytest.mark.sec(37)
def test_activation_of_a_regenerated_secret_has_no_gap(world):
    old = world.add("again", SECRET).json
    world.act(old["id"], "activate")
    assert connects(world.stream, world.mint(api_key="again").json)
    world.stream.app.keys["again"] = REGENERATED
    new = world.add("again", REGENERATED).json
    response = world.act(new["id"], "activate").json
    assert [(key["id"], key["state"]) for key in response["also_changed"]] == [
        (old["id"], "retired")
    ]
    assert connects(world.stream, world.mint(api_key="again").json)
    assert connects(world.stream, world.mint().json)


@pytest.mark.sec(37)
def test_dry_run_changes_nothing(world, seeded):
    dry = {"query": {"dry_run": True}}
    before = world.listed()
    added = world.add("dry", SECRET, **dry)
    assert (added.status, added.json["dry_run"], added.json["state"]) == (200, True, "standby")
    assert world.listed() == before
    key_id = world.add("dry", SECRET).json["id"]
    before = world.listed()
    activated = world.act(key_id, "activate", **dry)
    assert (activated.status, activated.json["dry_run"]) == (200, True)
    assert activated.json["state"] == "active"
    assert [(key["id"], key["state"]) for key in activated.json["also_changed"]] == [
        (seeded, "retiring")
    ]
    assert activated.json["unnamed_mints"] == 0
    assert world.act(key_id, "retire", **dry).json["state"] == "retired"
    assert world.act(seeded, "retire", **dry).code == "conflict"
    assert world.listed() == before
    assert world.mint().json["api_key"] == STREAM_API_KEY


def test_active_key_is_not_retired(world, seeded):
    refused = world.act(seeded, "retire")
    assert (refused.status, refused.code) == (409, "conflict")
    assert "Activate another key first" in refused.json["detail"]
    assert world.mint().status == 200


@pytest.mark.parametrize(
    ("api_key", "secret"),
    [
        ("short", "x" * 31),
        (STREAM_API_KEY, STREAM_API_SECRET),
        ("", SECRET),
        ("a b", SECRET),
        ("newline", f"{SECRET}\n"),
        ("blank", f" {SECRET}"),
    ],
)
def test_invalid_or_live_pair_gets_422_and_is_not_stored(world, api_key, secret):
    before = world.listed()
    refused = world.add(api_key, secret)
    assert (refused.status, refused.code) == (422, "stream_key_invalid")
    assert secret not in refused.text
    assert world.listed() == before


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("", {"api_key": "k9"}, "secret"),
        ("", {"api_key": "k9", "secret": SECRET, "state": "active"}, "state"),
        ("", {"apikey": "k9", "secret": SECRET}, "api_key"),
        ("", {"api_key": "k9", "secret": 7}, "secret"),
        ("", {"api_key": "k9", "secret": SECRET, "check": "yes"}, "check"),
        ("/key_1/activate", {"reasons": "x"}, "reason"),
        ("/key_1/activate", {"check": 1}, "check"),
        ("/key_1/retire", {"reason": "x" * 501}, "reason"),
    ],
)
def test_invalid_member_is_named(world, path, body, named):
    refused = world.operator.post(KEYS + path, json=body, valid=False)
    assert refused.code == "malformed_request"
    assert f"`{named}`" in refused.json["detail"] or f"$.{named}" in refused.json["detail"]


@pytest.mark.sec(37)
def test_pair_that_stream_rejects_is_neither_added_nor_activated(world, seeded):
    """Unless the check is skipped: the response warns then."""
    world.stream.app.keys["wrong"] = REGENERATED
    before = world.listed()
    refused = world.add("wrong", SECRET)
    assert (refused.status, refused.code) == (422, "stream_key_invalid")
    assert "Stream rejects this Stream key" in refused.json["detail"]
    assert world.listed() == before

    added = world.add("wrong", SECRET, body={"check": False})
    assert added.status == 201
    assert "Not checked" in added.json["warning"]
    refused = world.act(added.json["id"], "activate")
    assert (refused.status, refused.code) == (422, "stream_key_invalid")
    assert world.mint().json["api_key"] == STREAM_API_KEY

    activated = world.act(added.json["id"], "activate", json={"check": False})
    assert (activated.status, activated.json["state"]) == (200, "active")
    assert "Not checked" in activated.json["warning"]


def test_unreachable_stream_gets_503_and_changes_nothing(world, seeded):
    key_id = world.add("later", SECRET).json["id"]
    before = world.listed()
    world.stream.faults.refuse("GET /app", times=2)
    for refused in (world.add("other", SECRET), world.act(key_id, "activate")):
        assert (refused.status, refused.code) == (503, "temporarily_unavailable")
        assert "--no-check" in refused.json["detail"]
    assert world.listed() == before


@pytest.mark.parametrize("action", ["activate", "retire"])
def test_unknown_key_gets_404(world, action):
    for key_id in ("key_unknown", "%00", "key_%2F"):
        assert world.act(key_id, action).code == "not_found"
    assert world.operator.get(f"{KEYS}/key_unknown").code == "not_found"


@pytest.mark.sec(37)
@pytest.mark.parametrize("path", [KEYS, "/v1/signing-keys"])
def test_route_without_credential_gets_401_and_without_scope_403(world, path):
    """Although the client has every other scope."""
    other = world.client_with(path[4:], *(set(Scope) - {Scope.KEYS_WRITE}))
    actions = ("/k1/activate", "/k1/retire") if path == KEYS else ("/rotate", "/k1/retire")
    add = {"api_key": "k1", "secret": SECRET}
    for caller, code in ((other, "insufficient_scope"), (world.anonymous, "credentials_missing")):
        assert {caller.get(path + end).code for end in ("", "/k1")} == {code}
        assert {caller.post(path + action).code for action in actions} == {code}
        assert path != KEYS or caller.post(KEYS, json=add).code == code


def test_pages_list_each_key_once_newest_first(world):
    for number in range(3):
        world.add(f"page-{number}", SECRET)
    whole = world.listed()
    assert [key for page in world.operator.pages(KEYS, limit=2) for key in page] == whole
    created = [key["created_at"] for key in whole]
    assert created == sorted(created, reverse=True)


@pytest.mark.sec(25, 58)
def test_responses_and_log_contain_no_secret(world):
    world.add("quiet", SECRET)
    world.add("quiet", SECRET)
    world.add("quiet", SECRET[:31])
    assert world.add(SECRET, "quiet").status == 422  # the halves are swapped
    world.stream.app.keys[SECRET] = "another-secret-that-stream-knows-for-it"
    assert world.add(SECRET, SECRET).status == 422
    shown = world.operator.get(KEYS).text + world.service.log_path.read_text()
    assert SECRET[:31] not in shown
    assert SECRET not in repr(AddStreamKeyRequest(api_key="quiet", secret=SECRET))


def test_mint_without_api_key_gets_400_if_it_is_required(tmp_path):
    with running_world(tmp_path, KeysWorld, TOKENSVC_TOKEN__API_KEY="required") as world:
        refused = world.mint()
        assert (refused.status, refused.code) == (400, "api_key_required")
        assert "api_key" in refused.json["detail"]
        assert connects(world.stream, world.mint(api_key=STREAM_API_KEY).json)
        world.add("k2", SECRET)
        assert connects(world.stream, world.mint(api_key="k2").json)
        assert world.mint().code == "api_key_required"
