"""Access tokens: what is minted, and how it is verified. PyJWT is the oracle."""

from dataclasses import replace

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sessions.access_tokens.access import (
    NOW,
    SCOPES,
    SETTINGS,
    URL,
    AccessWorld,
    family,
    unverified,
)
from tests.sessions.access_tokens.signing import UNTIL_ACTIVE, SigningWorld
from tests.stream.keys.ring import CONTEXT
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.verify import parse
from tokensvc.sessions.access_tokens.signing_keys import SigningKeyRing
from tokensvc.sessions.access_tokens.tokens import AccessTokens, ServiceClaims, UserClaims


@pytest.fixture
def world(database):
    return AccessWorld(database)


def test_token_of_a_user_has_exactly_the_claims_of_the_profile(world):
    token = world.mint()
    assert jwt.get_unverified_header(token) == {
        "alg": "ES256",
        "typ": "at+jwt",
        "kid": world.signs_with(),
    }
    claims = world.decoded(token)
    assert len(claims.pop("jti")) == 22
    assert claims == {
        "iss": URL,
        "aud": URL,
        "sub": "ada",
        "client_id": "app",
        "iat": 1_800_000_000,
        "exp": 1_800_000_600,
        "auth_time": 1_799_999_000,
        "sid": "5d0c" * 8,
        "token_use": "user",
    }
    assert unverified(world.mint())["jti"] != unverified(token)["jti"]


def test_token_of_a_service_has_its_scopes_and_its_secret(world):
    claims = world.decoded(world.mint_for_service())
    del claims["jti"]
    assert claims == {
        "iss": URL,
        "aud": URL,
        "sub": "svc.shop",
        "client_id": "svc.shop",
        "iat": 1_800_000_000,
        "exp": 1_800_000_600,
        "scope": "tokens:mint users:read",
        "secret_id": "sec_1",
        "token_use": "service",
    }
    verified = world.verify(world.mint_for_service()).claims
    assert isinstance(verified, ServiceClaims)
    assert verified.scopes == SCOPES


@pytest.mark.sec(31)
@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({"created_at": NOW - SETTINGS.absolute_ttl + 9}, 9),
        ({"created_at": NOW - 2e6, "last_used_at": NOW - SETTINGS.idle_ttl + 99}, 99),
        ({"last_used_at": NOW - SETTINGS.idle_ttl + 601}, 600),
    ],
)
def test_token_never_outlives_its_session(world, members, left):
    minted = world.tokens.mint_for_user(family(**members), now=NOW, ring_version=world.version())
    claims = unverified(minted.token)
    assert claims["exp"] - claims["iat"] == minted.expires_in == left


def test_token_never_outlives_the_secret_of_its_service(world):
    claims = unverified(world.mint_for_service(ends_at=int(NOW) + 60))
    assert claims["exp"] - claims["iat"] == 60


def test_lifetime_is_that_of_the_settings(world):
    minted = world.tokens_of(access_ttl=60).mint_for_user(
        family(), now=NOW, ring_version=world.version()
    )
    assert minted.expires_in == 60
    assert "eyJ" not in repr(minted)


def test_token_expires_at_exp(world):
    token = world.mint()
    expires_at = unverified(token)["exp"]
    assert world.verify(token, expires_at - 0.001).claims.sub == "ada"
    assert world.refusal(token, expires_at).code is Code.CREDENTIALS_EXPIRED


@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789@_-", min_size=1, max_size=255),
    st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable()),
    st.integers(0, 2**52),
)
def test_minted_token_is_verified_as_pyjwt_reads_it(sqlite_access_world, user_id, client_id, now):
    token = sqlite_access_world.mint(
        now=float(now),
        user_id=user_id,
        client_id=client_id,
        created_at=float(now),
        last_used_at=now,
    )
    verified = sqlite_access_world.verify(token, now)
    assert isinstance(verified.claims, UserClaims)
    assert msgspec.to_builtins(verified.claims) == sqlite_access_world.decoded(token)
    assert (verified.claims.sub, verified.claims.client_id) == (user_id, client_id)


def test_token_of_a_key_that_this_process_does_not_know_yet_is_accepted(world):
    other = world.tokens_of()
    other.verify(parse(world.mint()))
    world.rotation.rotate(CONTEXT)
    world.pass_time(UNTIL_ACTIVE)
    assert other.verify(parse(world.mint())).ring_version == world.version()


def test_verified_token_is_not_verified_again_under_the_same_version(world, monkeypatch):
    verified = world.verify(world.mint())
    monkeypatch.setattr(world.tokens._keys, "ring_at", None)
    world.tokens.verify_again(verified, verified.ring_version)


def test_ring_with_another_key_of_the_same_id_refuses_the_token(world, monkeypatch):
    """As after a database was set back and rotated again."""
    first, verified = world.signs_with(), world.verify(world.mint())
    made = world.rotation.rotate(CONTEXT)
    other = world.keys.up_to_date_ring().keys[made.id]
    ring = SigningKeyRing(world.version(), {first: replace(other, kid=first)})
    monkeypatch.setattr(world.tokens._keys, "ring_at", lambda _version: ring)
    with pytest.raises(Refusal) as refused:
        world.tokens.verify_again(verified, ring.version)
    assert refused.value.reason == "signature"


def test_ring_without_keys_mints_nothing(database):
    world = SigningWorld(database)
    tokens = AccessTokens(world.keys, URL, SETTINGS)
    with pytest.raises(Refusal) as refused:
        tokens.mint_for_user(family(), now=NOW, ring_version=world.version())
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
