"""Tokens that are not access tokens of this service, or not for a user, are refused."""

import base64
import json
from functools import partial

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testing.sessions import sessions_on
from tests.sessions.access_tokens.access import NOW, URL, AccessWorld
from tests.stream.keys.ring import CONTEXT
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings
from tokensvc.sessions.oauth.grant import OAuth
from tokensvc.sessions.oauth.revocation import revoke
from tokensvc.standing.ring_versions import read_signing_ring

CLAIMS = ("iss", "aud", "sub", "client_id", "iat", "exp", "jti", "auth_time", "sid", "token_use")
VALUES = st.one_of(
    st.just(...),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.text()),
)


def encoded(header, iss=URL):
    """Return a token of this form that another key has signed."""
    key = generate_private_key(SECP256R1())
    claims = {"iss": iss, "aud": URL, "sub": "ada", "exp": int(NOW) + 60, "iat": int(NOW)}
    return jwt.encode(claims, key, "ES256", headers=header)


@pytest.fixture
def world(database):
    return AccessWorld(database)


@given(st.integers(0, 10_000), st.integers(1, 255))
@example(0, 1)
def test_changed_token_is_refused(sqlite_access_world, place, bits):
    token = sqlite_access_world.mint().encode()
    place %= len(token)
    changed = bytes([*token[:place], token[place] ^ bits, *token[place + 1 :]]).decode("latin-1")
    refused = sqlite_access_world.refusal(changed)
    assert refused.code is Code.CREDENTIALS_INVALID


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(CLAIMS), VALUES, min_size=1, max_size=3))
@example({"aud": [URL]})
@example({"aud": URL + "/"})
@example({"iss": URL + "/"})
@example({"exp": True})
@example({"token_use": "service"})
@example({"sid": ...})
@example({"sub": ["ada"]})
@example({"iat": 1.5})
def test_signed_token_with_other_claims_is_accepted_only_if_each_has_its_type(
    sqlite_access_world, changed
):
    """What is accepted has the meaning that PyJWT reads too."""
    try:
        token = sqlite_access_world.signed(**changed)
    except (TypeError, UnicodeEncodeError, jwt.PyJWTError):
        return  # PyJWT cannot write it
    try:
        verified = sqlite_access_world.verify(token)
    except Refusal as error:
        assert error.code in {Code.CREDENTIALS_INVALID, Code.CREDENTIALS_EXPIRED}
        return
    oracle = sqlite_access_world.decoded(token)
    assert msgspec.to_builtins(verified.claims) == oracle
    assert (oracle["iss"], oracle["aud"], oracle["token_use"]) == (URL, URL, "user")
    for name in CLAIMS:
        expected = int if name in {"iat", "exp", "auth_time"} else str
        assert type(oracle[name]) is expected


@pytest.mark.sec(10, 24)
@pytest.mark.parametrize("typ", ["JWT", None, "AT+JWT", "application/at+jwt", "logout+jwt", "at"])
def test_other_type_is_refused(world, typ):
    assert world.refusal(world.signed(header={"typ": typ})).reason in {"type", "header"}


@pytest.mark.sec(2, 3)
@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES384", "RS256"])
def test_other_algorithm_is_refused(world, algorithm):
    """Also with the published key as the secret."""
    published = msgspec.json.encode(world.keys.up_to_date_ring().jwks)
    header, payload, _ = world.mint().split(".")
    members = json.loads(base64.urlsafe_b64decode(header + "=="))
    members["alg"] = algorithm
    encoded = base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
    signing_input = f"{encoded}.{payload}"
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(mac.sign(signing_input.encode(), published))
    token = f"{signing_input}.{signature.rstrip(b'=').decode()}"
    assert world.refusal(token).reason == "type"


@pytest.mark.sec(4, 6)
@pytest.mark.parametrize("kid", ["", "sig_unknown", "../../etc/passwd", "' OR 1=1", "x" * 4000])
def test_key_that_is_not_in_the_ring_is_refused(world, kid):
    refused = world.refusal(world.signed(header={"kid": kid}))
    assert (refused.code, refused.reason) == (Code.CREDENTIALS_INVALID, "kid")


def test_token_without_kid_or_of_another_key_is_refused(world):
    first = world.signs_with()
    other = world.rotation.rotate(CONTEXT)
    assert world.refusal(world.signed(header={"kid": other.id})).reason == "signature"
    token = world.signed(header={"kid": first})
    header, payload, signature = token.split(".")
    members = json.loads(base64.urlsafe_b64decode(header + "=="))
    del members["kid"]
    encoded = base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
    assert world.refusal(f"{encoded}.{payload}.{signature}").reason == "type"


@pytest.mark.parametrize(
    "token",
    [
        "junk",
        "a.b.c",
        encoded({"typ": "JWT"}),
        encoded({"typ": "at+jwt", "kid": "sig_unknown"}, iss="https://other.example"),
    ],
)
def test_revocation_of_a_text_that_is_no_token_does_not_use_the_database(world, monkeypatch, token):
    oauth = OAuth(
        signing_ring_now=partial(read_signing_ring, world.database, system_clock),
        sessions=sessions_on(world.database, system_clock),
        access_tokens=world.tokens,
        limiter=Limiter(LimitSettings()),
    )
    monkeypatch.delattr("tokensvc.database.engine.Database.read")
    monkeypatch.delattr("tokensvc.database.engine.Database.fetch")
    revoke(oauth, token, "app")


@pytest.mark.sec(24)
def test_stream_token_is_not_an_access_token(world):
    claims = {"user_id": "ada", "exp": int(NOW) + 60, "iat": int(NOW)}
    assert world.refusal(jwt.encode(claims, "s" * 32, "HS256")).code is Code.CREDENTIALS_INVALID
