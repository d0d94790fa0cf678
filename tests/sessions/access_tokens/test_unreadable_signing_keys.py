"""A process that cannot sign access tokens changes no session: its clients can retry."""

from functools import partial

import pytest

from tests.sign_in.passwords import PasswordWorld
from tokensvc.core.errors import Code, Refusal
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.oauth.grant import Client, OAuth
from tokensvc.sessions.oauth.refresh_token import RefreshTokenForm, refresh
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.ring_versions import read_signing_ring
from tokensvc.vault.vault import Vault

URL = "https://tokens.example"
OTHER_VAULT = Vault([Vault.generate_key()])


@pytest.mark.parametrize("action", ["open", "change"])
def test_unreadable_keys_refuse_a_password_before_it_is_hashed(database, action):
    """So no session is opened or ended, no password changed, and no failure counted."""
    world = PasswordWorld(database, signing_vault=OTHER_VAULT)
    world.create()
    stored = world.stored_hash()
    with pytest.raises(Refusal) as refused:
        getattr(world, action)()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert (world.rows(), world.failures(), world.stored_hash()) == ([], {}, stored)
    assert world.hasher.verified == []


def test_unreadable_keys_refuse_a_refresh_without_a_rotation(database):
    """After `Retry-After`, the token would be a replay that ends the session."""
    world = PasswordWorld(database)
    world.create()
    session = world.open()
    before = world.rows()
    oauth = OAuth(
        signing_ring_now=partial(read_signing_ring, database, world.clock),
        sessions=world.sessions,
        access_tokens=AccessTokens(SigningKeys(database, OTHER_VAULT), URL, SessionSettings()),
        limiter=world.limiter,
    )
    form = RefreshTokenForm(grant_type="refresh_token", refresh_token=session.refresh_token)
    with pytest.raises(Refusal) as refused:
        refresh(oauth, form, Client(None, "app", "192.0.2.1"))
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert world.rows() == before
