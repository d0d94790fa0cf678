"""Service clients for tests, created as an operator creates them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import urllib3

from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.rules import Rights, operator
from tokensvc.clients.state import NewServiceClient
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import Clock, system_clock
from tokensvc.core.errors import Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database

OPERATOR = operator(ActionContext("cli:test"))


def rights(*scopes: str, vouches: bool = False) -> Rights:
    """Return rights."""
    return Rights(frozenset(scopes), vouches)


def administration_of(database: Database, clock: Clock = system_clock) -> ClientAdministration:
    """Return the administration of the clients in a database."""
    return ClientAdministration(database, DatabaseClock(database, clock))


def make_client(
    database: Database,
    name: str,
    *scopes: str,
    vouches: bool = False,
    clock: Clock = system_clock,
) -> NewServiceClient:
    """Create a client with these scopes."""
    administration = administration_of(database, clock)
    return administration.create(name, rights(*scopes, vouches=vouches), administrator=OPERATOR)


def basic(client: NewServiceClient, secret: str | None = None) -> dict[str, str]:
    """Return the header of a client's credentials, with its first secret by default."""
    presented = client.secret if secret is None else secret
    return dict(urllib3.make_headers(basic_auth=f"{client.id}:{presented}"))


def basic_header(created: Mapping[str, Any]) -> dict[str, str]:
    """Return the header of a client in the output of `tokensvc clients create`."""
    return dict(urllib3.make_headers(basic_auth=f"{created['id']}:{created['secret']}"))


def refusal_of(action: Callable[..., Any], *args: Any, **options: Any) -> Refusal:
    """Return the refusal that a call raises."""
    with pytest.raises(Refusal) as refused:
        action(*args, **options)
    return refused.value
