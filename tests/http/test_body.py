"""What a request asks for: one strict reading of a body, or a refusal that says why."""

import json
from typing import Any

import msgspec
import pytest

from testing.http_client import Client
from tests.http.conftest import TOKEN, Probe
from tokensvc.http.actions import ActionQuery
from tokensvc.http.body import parse_body, parse_both, parse_object
from tokensvc.http.body_reader import MAX_BODY
from tokensvc.http.respond import json_response


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body of every kind of member."""

    user_id: str | None = None
    auth_time: int | None = None
    api_key: str | None = None
    ttl: int | None = None
    user: dict[str, Any] | None = None


class Needs(msgspec.Struct, frozen=True):
    """A body with a member that must be there."""

    name: str


JSON = {"Content-Type": "application/json"}


@pytest.fixture
def parsed(probe: Probe) -> list[Asked]:
    """Give what the bodies of a test were parsed to."""
    requests: list[Asked] = []

    def view() -> Any:
        requests.append(parse_body(Asked))
        return json_response({**TOKEN, "user": requests[-1].user})

    probe.view = view
    return requests


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        (b"", Asked()),
        (b"{}", Asked()),
        (b' {"user_id": "john", "ttl": 60}\n', Asked(user_id="john", ttl=60)),
        (b'{"user_id": null}', Asked()),
        (b'{"auth_time": -1}', Asked(auth_time=-1)),
        (b'{"ttl": 1' + b"0" * 400 + b"}", Asked(ttl=10**400)),
        ('{"user_id": "jöhn"}'.encode(), Asked(user_id="jöhn")),
        (b'{"user_id": "\\ud83d\\ude00"}', Asked(user_id="😀")),
        (
            b'{"user": {"id": "john", "n": [1.5, true]}}',
            Asked(user={"id": "john", "n": [1.5, True]}),
        ),
        (b'{"user": ' + b'{"a":' * 30 + b"1" + b"}" * 31, None),
    ],
)
def test_bodies_that_are_read(
    client: Client, parsed: list[Asked], body: bytes, request_: Asked | None
) -> None:
    """Strict JSON is read as it is, numbers of any size and depth up to the limit included."""
    assert (
        client.post("/v1/token", body=body, headers=JSON if body else {}, valid=False).status == 200
    )
    assert len(parsed) == 1
    if request_ is not None:
        assert parsed == [request_]


@pytest.mark.sec(52)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 16_000, "more than 32 levels"),
        (b'{"user":' + b'{"a":' * 32 + b"1" + b"}" * 33, "more than 32 levels"),
        (b'{"user": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}", "more than 32 levels"),
        (b'{"ttl": NaN}', "NaN"),
        (b'{"ttl": -Infinity}', "-Infinity"),
        (b'{"user": {"id": "john", "n": 1e999}}', "a number is too large"),
        (b'{"ttl": ' + b"9" * 5000 + b"}", "a number is too large"),
        (b'{"user_id": "a", "user_id": "b"}', "named twice"),
        (b'{"user": {"id": "a", "id": "b"}}', "named twice"),
        (b'{"user_id": "a", "user\\u005fid": "b"}', "named twice"),
        (b'{"user_id": "\\ud800"}', "surrogate"),
        (b'{"user": {"\\uDFFF": 1}}', "surrogate"),
        (b'{"user_id": "\xff"}', "UTF-8"),
        (b'{"user_id": "\xed\xa0\x80"}', "UTF-8"),
        ('{"user_id": "john"}'.encode("utf-16"), "UTF-8"),
        ('{"user_id": "john"}'.encode("utf-16-le"), "not JSON"),
        ('{"user_id": "john"}'.encode("utf-32-be"), "not JSON"),
        (b'\xef\xbb\xbf{"user_id": "john"}', "not JSON"),
        (b"\x00", "not JSON"),
        (b"{", "not JSON"),
        (b'{"user_id": "john"} {}', "not JSON"),
        (b"{'user_id': 'john'}", "not JSON"),
        (b'{"user_id": "a\nb"}', "not JSON"),
        (b'{"ttl": 060}', "not JSON"),
        (b"user_id=john", "not JSON"),
        (b"[]", "Expected `object`"),
        (b'"john"', "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'{"user_id": 7}', "$.user_id"),
        (b'{"user_id": ["john"]}', "$.user_id"),
        (b'{"ttl": "60"}', "$.ttl"),
        (b'{"ttl": true}', "$.ttl"),
        (b'{"ttl": 60.0}', "$.ttl"),
        (b'{"auth_time": 1e9}', "$.auth_time"),
        (b'{"user": []}', "$.user"),
        (b'{"userId": "john"}', "did you mean `user_id`?"),
        (b'{"User-ID": "john"}', "did you mean `user_id`?"),
        (b'{"apikey": "k1"}', "did you mean `api_key`?"),
        (b'{"tttl": 60}', "did you mean `ttl`?"),
        (
            b'{"userId": "john", "ttl": 60, "colour": 1}',
            "did you mean `user_id`? `colour` is unknown in the body: leave it out.",
        ),
        (b'{"a1": 1, "b1": 1, "c1": 1, "d1": 1, "e1": 1, "f1": 1}', "`d1` is unknown in the body"),
        (b'{"a1": 1, "b1": 1, "c1": 1, "d1": 1, "e1": 1, "f1": 1}', "out. 2 more members are"),
        (b'{"colour": 1}', "`colour` is unknown in the body: leave it out."),
        (b'{"' + b"x" * 9000 + b'": 1}', "`" + "x" * 64 + "…`"),
    ],
)
def test_bodies_that_are_refused(
    client: Client, parsed: list[Asked], body: bytes, says: str
) -> None:
    """Whatever two readers could take for two things is 400 with what is wrong, never 500."""
    answer = client.post("/v1/token", body=body, headers=JSON, valid=False)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert says in answer.json["detail"]
    assert not parsed


@pytest.mark.sec(52)
@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON;charset=UTF-8", True),
        ('application/json; charset="utf-8"', True),
        (None, False),
        ("", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=latin-1", False),
        ("application/jsonp", False),
        ("text/plain, application/json", False),
    ],
)
def test_media_types(
    client: Client, parsed: list[Asked], content_type: str | None, *, taken: bool
) -> None:
    """A body is JSON in UTF-8 and says so; everything else is 415."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post("/v1/token", body=b"{}", headers=headers, valid=False)
    assert answer.status == (200 if taken else 415)
    assert len(parsed) == (1 if taken else 0)
    if not taken:
        assert answer.code == "unsupported_media_type"


def test_a_compressed_body_is_refused(client: Client, parsed: list[Asked]) -> None:
    """What would have to be unpacked could be a bomb."""
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/v1/token", body=b"{}", headers=headers, valid=False).status == 415
    assert not parsed


@pytest.mark.sec(51)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 1, 413), (2**21, 413)])
def test_body_limit(
    client: Client, parsed: list[Asked], size: int, status: int, *, chunked: bool
) -> None:
    """16 KiB pass and one byte more does not, with a length and without."""
    body = b"{" + b" " * (size - 2) + b"}"
    answer = client.post(
        "/v1/token", body=iter([body]) if chunked else body, headers=JSON, valid=False
    )
    assert answer.status == status
    assert len(parsed) == (1 if status == 200 else 0)
    if status == 413:
        assert answer.code == "payload_too_large"


@pytest.mark.sec(51)
@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nowhere", "/v1/me"])
def test_the_limit_is_everywhere(client: Client, path: str) -> None:
    """A body that nobody wants is bounded too."""
    answer = client.get(path, body=b"x" * (MAX_BODY + 1), valid=False)
    assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "٣", " 7", "9" * 5000])
def test_a_content_length_that_is_none(client: Client, length: str) -> None:
    """A server in front that lets such a length through does not confuse the application."""
    answer = client.post(
        "/v1/token", body=b"{}", headers={**JSON, "Content-Length": length}, valid=False
    )
    assert answer.status in {400, 413}


def test_a_short_body(client: Client) -> None:
    """A body that ends before its length is refused, not parsed."""
    answer = client.post(
        "/v1/token", body=b"{}", headers={**JSON, "Content-Length": "9"}, valid=False
    )
    assert (answer.status, answer.code) == (400, "malformed_request")


def test_a_required_member(client: Client, probe: Probe) -> None:
    """A body that lacks a required member is told which, the empty body too."""
    probe.view = lambda: json_response(TOKEN) if parse_body(Needs) else None
    for body in (b"", b"{}"):
        answer = client.post("/v1/token", body=body, headers=JSON, valid=False)
        assert answer.status == 400
        assert "`name`" in answer.json["detail"]


def test_numbers_come_back_as_they_were(client: Client, parsed: list[Asked]) -> None:
    """The user object is echoed without loss, numbers beyond 64 bits included."""
    user = {"id": "john", "big": 10**40, "ratio": 0.1, "none": None, "text": "\u2028é"}
    answer = client.post("/v1/token", json={"user": user})
    assert answer.json["user"] == user
    assert json.loads(answer.body)["user"]["big"] == 10**40
    assert len(parsed) == 1


@pytest.mark.sec(52)
@pytest.mark.parametrize("query", ["ttl=60", "ttl", "&", "user_id=john&ttl=60"])
def test_a_query_where_the_body_is_read(client: Client, parsed: list[Asked], query: str) -> None:
    """A query is refused where the body asks: to ignore it would be to ignore what was asked."""
    answer = client.post("/v1/token", query=query, valid=False)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert "in the body" in answer.json["detail"]
    assert not parsed


def test_a_query_beside_an_object_of_any_members(client: Client, probe: Probe) -> None:
    """It is refused there too."""
    probe.view = lambda: json_response(TOKEN) if parse_object() == {} else None
    assert client.post("/v1/token").status == 200
    assert client.post("/v1/token", query="ttl=60", valid=False).status == 400


def test_a_query_and_a_body(client: Client, probe: Probe) -> None:
    """A route that takes both reads each as strictly as alone."""
    probe.view = lambda: json_response({**TOKEN, "user": _plain(parse_both(ActionQuery, Asked))})
    answer = client.post("/v1/token", query="dry_run=true", json={"ttl": 60}, valid=False)
    assert answer.json["user"] == {"dry_run": True, "ttl": 60}
    for query, body in (("ttl=60", {}), ("dry_run=1", {}), ("", {"dry_run": True})):
        assert client.post("/v1/token", query=query, json=body, valid=False).status == 400


def _plain(asked: tuple[ActionQuery, Asked]) -> dict[str, Any]:
    return {"dry_run": asked[0].dry_run, "ttl": asked[1].ttl}
