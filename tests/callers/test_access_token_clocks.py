"""The database's clock decides whether an access token has expired, not the clock of a host."""

import time
from functools import partial

import pytest

from testing.service_clients import make_client
from testing.sessions import open_session, sessions_on
from tests.sessions.access_tokens.access import AccessWorld
from tokensvc.callers.access_tokens import AccessTokenCallers
from tokensvc.clients.service import Clients
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.verify import parse
from tokensvc.standing.ring_versions import read_signing_ring
from tokensvc.standing.store import StandingStore

FAR = 660
"""Seconds: longer than the life of a token."""


class ClockWorld(AccessWorld):
    """A host whose clock may be wrong, and a database whose clock is right."""

    def callers(self, host_ahead):
        return AccessTokenCallers(
            tokens=self.tokens,
            sessions=sessions_on(self.database, system_clock),
            clients=Clients(self.database, system_clock),
            standings=StandingStore(self.database, system_clock),
            signing_ring_now=partial(read_signing_ring, self.database, system_clock),
            clock=lambda: time.time() + host_ahead,
        )

    def user_token(self, age):
        sessions = sessions_on(self.database, system_clock)
        with self.database.write() as tx:
            family = open_session(tx, sessions).family
        now = time.time() - age
        return self.tokens.mint_for_user(family, now=now, ring_version=self.version()).token

    def service_token(self, age):
        client = make_client(self.database, "shop", "users:read")
        return self.tokens.mint_for_service(
            client.id,
            client.secrets[0].id,
            frozenset({"users:read"}),
            ends_at=None,
            now=time.time() - age,
            ring_version=self.version(),
        ).token


@pytest.fixture
def world(database):
    return ClockWorld(database)


def code_of(call, *arguments):
    with pytest.raises(Refusal) as refused:
        call(*arguments)
    return refused.value.code


def test_host_whose_clock_is_ahead_accepts_fresh_tokens(world):
    callers = world.callers(host_ahead=FAR)
    user = callers.authenticate(parse(world.user_token(age=0)))
    assert not callers.read_standing(user).suspended
    assert callers.authenticate(parse(world.service_token(age=0))).scopes == {"users:read"}


@pytest.mark.sec(24)
def test_host_whose_clock_is_behind_refuses_expired_tokens(world):
    callers = world.callers(host_ahead=-FAR)
    user = callers.authenticate(parse(world.user_token(age=FAR)))
    assert code_of(callers.read_standing, user) is Code.CREDENTIALS_EXPIRED
    service = parse(world.service_token(age=FAR))
    assert code_of(callers.authenticate, service) is Code.CREDENTIALS_EXPIRED


def test_host_with_the_right_clock_refuses_an_expired_token_before_the_limits(world):
    token = parse(world.user_token(age=FAR))
    assert code_of(world.callers(host_ahead=0).authenticate, token) is Code.CREDENTIALS_EXPIRED
