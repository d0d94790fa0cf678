"""Strict parsing of bodies."""

import json
from typing import Any

import msgspec
import pytest

from testing.http_client import Client
from tests.http.conftest import JSON, TOKEN, Asked, Probe
from tokensvc.http.body import MAX_BODY, parse_body, parse_both, parse_object
from tokensvc.http.parameters import ActionQuery
from tokensvc.http.respond import json_response


class Needs(msgspec.Struct, frozen=True):
    """A body with a required member."""

    name: str


@pytest.fixture
def parsed(probe: Probe) -> list[Asked]:
    """Return the parsed bodies of a test."""
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
def test_strict_json_is_parsed(
    client: Client, parsed: list[Asked], body: bytes, request_: Asked | None
) -> None:
    """Numbers of any size and nesting up to the limit are accepted."""
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
def test_invalid_or_ambiguous_json_gets_400(
    client: Client, parsed: list[Asked], body: bytes, says: str
) -> None:
    """Each text that two parsers could read differently is 400 with the cause, never 500."""
    response = client.post("/v1/token", body=body, headers=JSON, valid=False)
    assert (response.status, response.code) == (400, "malformed_request")
    assert says in response.json["detail"]
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
def test_other_media_type_gets_415(
    client: Client, parsed: list[Asked], content_type: str | None, *, taken: bool
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = client.post("/v1/token", body=b"{}", headers=headers, valid=False)
    assert response.status == (200 if taken else 415)
    assert len(parsed) == (1 if taken else 0)
    if not taken:
        assert response.code == "unsupported_media_type"


def test_compressed_body_gets_415(client: Client, parsed: list[Asked]) -> None:
    """The service never decompresses a body."""
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/v1/token", body=b"{}", headers=headers, valid=False).status == 415
    assert not parsed


@pytest.mark.sec(51)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 1, 413), (2**21, 413)])
def test_body_over_16_kib_gets_413(
    client: Client, parsed: list[Asked], size: int, status: int, *, chunked: bool
) -> None:
    """With and without Content-Length."""
    body = b"{" + b" " * (size - 2) + b"}"
    response = client.post(
        "/v1/token", body=iter([body]) if chunked else body, headers=JSON, valid=False
    )
    assert response.status == status
    assert len(parsed) == (1 if status == 200 else 0)
    if status == 413:
        assert response.code == "payload_too_large"


@pytest.mark.sec(51)
@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nowhere", "/v1/me"])
def test_unused_body_over_16_kib_gets_413(client: Client, path: str) -> None:
    """The limit applies to routes that do not read the body too."""
    response = client.get(path, body=b"x" * (MAX_BODY + 1), valid=False)
    assert (response.status, response.code) == (413, "payload_too_large")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "٣", " 7", "9" * 5000])
def test_invalid_content_length_gets_400(client: Client, length: str) -> None:
    """Also if a proxy or server in front accepts it."""
    response = client.post(
        "/v1/token", body=b"{}", headers={**JSON, "Content-Length": length}, valid=False
    )
    assert response.status in {400, 413}


def test_body_shorter_than_content_length_gets_400(client: Client) -> None:
    response = client.post(
        "/v1/token", body=b"{}", headers={**JSON, "Content-Length": "9"}, valid=False
    )
    assert (response.status, response.code) == (400, "malformed_request")


def test_missing_required_member_is_named(client: Client, probe: Probe) -> None:
    """Also with an empty body."""
    probe.view = lambda: json_response(TOKEN) if parse_body(Needs) else None
    for body in (b"", b"{}"):
        response = client.post("/v1/token", body=body, headers=JSON, valid=False)
        assert response.status == 400
        assert "`name`" in response.json["detail"]


def test_numbers_are_echoed_without_loss(client: Client, parsed: list[Asked]) -> None:
    """Also numbers over 64 bits."""
    user = {"id": "john", "big": 10**40, "ratio": 0.1, "none": None, "text": "\u2028é"}
    response = client.post("/v1/token", json={"user": user})
    assert response.json["user"] == user
    assert json.loads(response.body)["user"]["big"] == 10**40
    assert len(parsed) == 1


@pytest.mark.sec(52)
@pytest.mark.parametrize("query", ["ttl=60", "ttl", "&", "user_id=john&ttl=60"])
def test_query_of_a_body_route_gets_400(client: Client, parsed: list[Asked], query: str) -> None:
    """Otherwise the service would ignore what the client requested."""
    response = client.post("/v1/token", query=query, valid=False)
    assert (response.status, response.code) == (400, "malformed_request")
    assert "in the body" in response.json["detail"]
    assert not parsed


def test_query_of_an_object_route_gets_400(client: Client, probe: Probe) -> None:
    probe.view = lambda: json_response(TOKEN) if parse_object() == {} else None
    assert client.post("/v1/token").status == 200
    assert client.post("/v1/token", query="ttl=60", valid=False).status == 400


def test_route_with_query_and_body_parses_both_strictly(client: Client, probe: Probe) -> None:
    probe.view = lambda: json_response({**TOKEN, "user": _plain(parse_both(ActionQuery, Asked))})
    response = client.post("/v1/token", query="dry_run=true", json={"ttl": 60}, valid=False)
    assert response.json["user"] == {"dry_run": True, "ttl": 60}
    for query, body in (("ttl=60", {}), ("dry_run=1", {}), ("", {"dry_run": True})):
        assert client.post("/v1/token", query=query, json=body, valid=False).status == 400


def _plain(asked: tuple[ActionQuery, Asked]) -> dict[str, Any]:
    return {"dry_run": asked[0].dry_run, "ttl": asked[1].ttl}
