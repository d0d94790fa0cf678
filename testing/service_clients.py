"""Service clients for tests: made as an operator makes them, and presented as they present."""

from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.creation import CreatedClient
from tokensvc.clients.rules import Rights, operator
from tokensvc.core.clock import Clock, system_clock
from tokensvc.core.errors import Refusal
from tokensvc.database.engine import Database

OPERATOR = operator("cli:test")


def rights(*scopes: str, vouches: bool = False) -> Rights:
    """Give what a client may do."""
    return Rights(frozenset(scopes), vouches)


def make_client(
    database: Database,
    name: str,
    *scopes: str,
    vouches: bool = False,
    clock: Clock = system_clock,
) -> CreatedClient:
    """Make a client that may do this."""
    administration = ClientAdministration(database, clock)
    return administration.create(name, rights(*scopes, vouches=vouches), grantor=OPERATOR)


def basic(client: CreatedClient, secret: str | None = None) -> dict[str, str]:
    """Give the header of a client's credentials, with its first secret unless another is given."""
    presented = client.secret.secret if secret is None else secret
    return dict(urllib3.make_headers(basic_auth=f"{client.id}:{presented}"))


def refusal_of(act: Callable[..., Any], *args: Any, **options: Any) -> Refusal:
    """Give what refuses a call; fails when nothing does."""
    with pytest.raises(Refusal) as refused:
        act(*args, **options)
    return refused.value
