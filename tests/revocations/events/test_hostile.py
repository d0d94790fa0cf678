"""Events that are none, through a running service: each is refused and changes nothing."""

import hmac
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from testing.doubles import issuer as issuer_double
from testing.doubles.events import (
    AUDIENCE,
    LOGOUT,
    RISC,
    SESSION_REVOKED,
    claims_of,
    iss_sub,
    logout_token,
    push,
    security_event,
    send_logout,
)
from testing.doubles.issuer import base64url, compact
from testing.http_client import Client
from testing.waiting import wait_until
from testing.world import World, minted, running_world

pytestmark = pytest.mark.sec(72)

DAY = 86400


class Hostile(NamedTuple):
    """
    A token that somebody sends as an event.

    Attributes:
        name: What is wrong with it.
        token: Function that returns it, about the user `victim`.
        reason: Reason in the log.
        error: Error of RFC 8935.
    """

    name: str
    token: Callable[[World], str]
    reason: str
    error: str = "invalid_request"


def now() -> int:
    return int(time.time())


def logout(name: str, reason: str, error: str = "invalid_request", **changes: Any) -> Hostile:
    claims = {"sub": "victim", **changes}
    return Hostile(name, lambda world: logout_token(world.issuer, **claims), reason, error)


def event(name: str, reason: str, error: str = "invalid_request", **changes: Any) -> Hostile:
    claims = {"sub": "victim", **changes}
    return Hostile(name, lambda world: security_event(world.issuer, **claims), reason, error)


def late(seconds: int, *, expires: bool) -> Callable[[World], str]:
    """Return a function that returns an event of an earlier or later time."""

    def token(world: World) -> str:
        iat = now() + seconds
        exp = iat + 60 if expires else None
        return security_event(world.issuer, sub="victim", iat=iat, exp=exp)

    return token


def with_header(world: World, **header: Any) -> str:
    claims = claims_of(world.issuer, SESSION_REVOKED, sub="victim")
    return world.issuer.sign(claims, header={"typ": "secevent+jwt", **header})


def unsigned(world: World) -> str:
    claims = claims_of(world.issuer, SESSION_REVOKED, sub="victim")
    parts = ({"alg": "none", "typ": "secevent+jwt"}, claims)
    return ".".join(base64url(json.dumps(part).encode()) for part in parts) + "."


def signed_with_the_public_key(world: World) -> str:
    """Return a token of an attacker who hopes that the public key is taken for a secret."""
    public = world.issuer.key().public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "typ": "secevent+jwt", "kid": world.issuer.kids[-1]}
    claims = claims_of(world.issuer, SESSION_REVOKED, sub="victim")
    signing_input = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(secret, signing_input.encode(), "sha256")
    return f"{signing_input}.{base64url(signature)}"


def signed_by_another(world: World) -> str:
    header = {"alg": "RS256", "typ": "secevent+jwt", "kid": world.issuer.kids[-1]}
    claims = claims_of(world.issuer, SESSION_REVOKED, sub="victim")
    return compact(header, claims, issuer_double.private_key("RS256", 99), "RS256")


def of_the_other_issuer(world: World) -> str:
    return security_event(world.silent, sub="victim", sub_id=iss_sub(world.issuer, "victim"))


def user_token(world: World, **claims: Any) -> str:
    return world.issuer.token(sub="victim", jti="t1", **claims)


def typed(typ: str) -> Callable[[World], str]:
    return lambda world: security_event(world.issuer, typ=typ, sub="victim")


EVENTS = [
    Hostile("not a JWT", lambda _: "not-a-token", "not a JWT"),
    Hostile("empty", lambda _: "", "not a JWT"),
    Hostile("alg none", unsigned, "not a JWT"),
    Hostile("HS256", signed_with_the_public_key, "algorithm", "invalid_key"),
    Hostile("unknown kid", lambda world: with_header(world, kid="x"), "signature", "invalid_key"),
    Hostile("key of another", signed_by_another, "signature", "invalid_key"),
    Hostile("other issuer", of_the_other_issuer, "unknown issuer", "invalid_issuer"),
    event("audience of the tokens", "audience", "invalid_audience", aud="chat"),
    event("no audience", "audience", "invalid_audience", aud=None),
    event("nonce", "nonce", nonce="n"),
    event("no events", "no events", events=None),
    event("events is a list", "no events", events=[SESSION_REVOKED]),
    event("event is no object", "no events", events={SESSION_REVOKED: True}),
    event("two events", "events", events={SESSION_REVOKED: {}, f"{RISC}account-disabled": {}}),
    event("no jti", "no jti", jti=None),
    event("empty jti", "no jti", jti=""),
    event("jti is a number", "registered claims", jti=7),
    event("no iat", "registered claims", iat=None),
    event("exp is a text", "registered claims", exp="2000000000"),
    Hostile("expired", late(-90, expires=True), "expired"),
    Hostile("old and without exp", late(-DAY - 30, expires=False), "too old"),
    Hostile("from the future", late(30, expires=False), "issued later"),
    event("exp after years", "lifetime", exp=now() + 400 * DAY),
    Hostile("ID token", lambda world: user_token(world, aud=AUDIENCE, nonce="n"), "type"),
    Hostile("access token", lambda world: user_token(world, aud=AUDIENCE), "type"),
    Hostile("typ of a logout", typed("logout+jwt"), "type"),
    Hostile("typ of a user's token", typed("at+jwt"), "type"),
    event("no subject", "subject", sub=None),
    event("two subjects", "subject", sub_id={"format": "iss_sub", "iss": "x", "sub": "other"}),
    Hostile(
        "two users",
        lambda world: security_event(
            world.issuer, sub="victim", sub_id=iss_sub(world.issuer, "other")
        ),
        "subject",
    ),
    event("subject of another issuer", "subject", sub_id={"format": "iss_sub", "sub": "victim"}),
    event("subject by e-mail", "subject", sub_id={"format": "email", "email": "v@example.com"}),
    event("opaque subject", "subject", sub_id={"format": "opaque", "id": "victim"}),
    event("subject is a text", "subject", sub_id="victim"),
    event("sub is a number", "", sub=7),
    event("sub is no user ID", "", sub="Victim!"),
    event("sub is half a character", "", sub="\ud800"),
]
LOGOUTS = [
    logout("nonce", "nonce", nonce="n"),
    logout("audience of the tokens", "audience", aud="chat"),
    logout("no events", "no events", events=None),
    logout("another event", "events", events={SESSION_REVOKED: {}}),
    logout("sid without sub", "sid without sub", sub=None, sid="s1"),
    logout("neither", "subject", sub=None),
    Hostile(
        "old and without exp",
        lambda world: logout_token(world.issuer, sub="victim", iat=now() - 130, exp=None),
        "too old",
    ),
    Hostile(
        "typ of a security event",
        lambda world: logout_token(world.issuer, typ="secevent+jwt", sub="victim"),
        "type",
    ),
    Hostile("ID token", lambda world: user_token(world, aud=AUDIENCE), "no events"),
    Hostile(
        "typ of a user's token",
        lambda world: logout_token(world.issuer, typ="at+jwt", sub="victim"),
        "type",
    ),
    Hostile(
        "ID token without typ",
        lambda world: world.issuer.sign(
            world.issuer.claims(sub="victim", aud=AUDIENCE), header={"typ": None}
        ),
        "no events",
    ),
]


@pytest.fixture(scope="module")
def victim(world):
    """Return a user whom no event of this file may affect."""
    return world.signed_in("victim")


def last_line(world):
    """Return the log line of the last request for events."""
    lines = [line for line in world.log("request") if line.get("route", "").endswith("/events")]
    return lines[-1]


@pytest.mark.parametrize("hostile", EVENTS, ids=lambda hostile: hostile.name)
def test_hostile_security_event_is_refused(hostile, world, victim):
    token = hostile.token(world)
    response = push(world.anonymous, token)
    assert response.status == 400
    assert response.headers["Content-Type"] == "application/json"
    assert response.json["err"] == hostile.error
    assert response.json["description"]
    assert response.headers["Content-Language"] == "en"
    line = last_line(world)
    assert (line["code"], line.get("reason", "")) == ("malformed_request", hostile.reason)
    assert not token or token not in world.service.log_path.read_text()
    assert minted(victim).status == 200


@pytest.mark.parametrize("hostile", LOGOUTS, ids=lambda hostile: hostile.name)
def test_hostile_logout_token_is_refused(hostile, world, victim):
    response = send_logout(world.anonymous, hostile.token(world))
    assert response.status == 400
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json["error"] == "invalid_request"
    assert last_line(world).get("reason", "") == hostile.reason
    assert minted(victim).status == 200


def test_logout_token_is_used_once(world):
    token = logout_token(world.issuer, sub="once")
    assert send_logout(world.anonymous, token).status == 200
    user = world.signed_in("once", world.state("once")["tokens_valid_after"] + 2)
    refused = send_logout(world.anonymous, token)
    assert (refused.status, refused.json["error"]) == (400, "invalid_request")
    assert minted(user).status == 200


def test_logout_token_sent_as_a_security_event_does_not_use_it_up(world):
    token = logout_token(world.issuer, typ=None, sub="crossed")
    assert push(world.anonymous, token).status == 202
    assert world.state("crossed")["tokens_valid_after"] is None
    assert send_logout(world.anonymous, token).status == 200


@pytest.mark.parametrize("typ", ["logout+jwt", "secevent+jwt", "JWT", None])
@pytest.mark.parametrize("about", [LOGOUT, SESSION_REVOKED])
def test_event_is_never_a_credential(world, typ, about):
    """Not even one that has every claim of a user's token."""
    claims = {**world.issuer.claims(sub="victim"), "jti": "j1", "events": {about: {}}}
    token = world.issuer.sign(claims, header={"typ": typ})
    client = Client(world.service.base_url, {"Authorization": f"Bearer {token}"})
    for response in (client.post("/v1/token"), client.get("/v1/me")):
        assert (response.status, response.json["code"]) == (401, "credentials_invalid")


def test_body_of_a_megabyte_is_refused(world):
    for token in ("x" * 2**20, "x" * 9000):
        response = push(world.anonymous, token)
        assert response.status == (413 if len(token) > 16 * 1024 else 400)
    assert send_logout(world.anonymous, "x" * 2**20).status == 413


def test_issuer_that_is_unknown_or_accepts_no_events_does_not_exist(world):
    for name in ("nobody", "accounts", "ACME"):
        response = push(world.anonymous, security_event(world.issuer, sub="victim"), name)
        assert (response.status, response.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_other_media_type_is_refused(world, content_type):
    response = world.anonymous.post(
        "/v1/issuers/acme/events",
        headers={"Content-Type": content_type},
        body=logout_token(world.issuer, sub="victim").encode(),
        valid=False,
    )
    assert (response.status, response.json["code"]) == (415, "unsupported_media_type")


def test_refused_events_use_up_the_failures_of_their_address_and_stop_no_valid_event(
    tmp_path_factory,
):
    folder = tmp_path_factory.mktemp("limited")
    with running_world(folder, TOKENSVC_LIMITS__FAILURES="4/hour") as world:
        bad, form = security_event(world.issuer, nonce="n"), logout_token(world.issuer, nonce="n")
        statuses = [push(world.anonymous, bad).status, send_logout(world.anonymous, form).status]
        assert statuses == [400, 400]
        # A key that may be new gets 503 within the cool-down of fetches.
        statuses = [push(world.anonymous, with_header(world, kid="x")).status for _ in range(2)]
        assert statuses[-1] == 503
        assert push(world.anonymous, bad).status == 429
        good = security_event(world.issuer, sub="limited")
        assert push(world.anonymous, good).status == 202
        assert world.state("limited")["tokens_valid_after"] is not None


def test_keys_that_are_unavailable_are_no_refusal(tmp_path_factory):
    """The sender retries on 503, and the same event then has its effect."""
    with running_world(tmp_path_factory.mktemp("keys"), TOKENSVC_JWKS__COOLDOWN="1") as world:
        world.issuer.fault = issuer_double.hang_up
        world.issuer.rotate()
        token = security_event(world.issuer, sub="waiting", exp=now() + 600)
        response = push(world.anonymous, token)
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert world.state("waiting")["tokens_valid_after"] is None
        world.issuer.fault = None
        wait_until(lambda: push(world.anonymous, token).status == 202, "the event is accepted")
        assert world.state("waiting")["tokens_valid_after"] is not None
