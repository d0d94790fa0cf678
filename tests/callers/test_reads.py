"""How often a request reads the database: once for each fact that it depends on."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from testing.doubles.issuer import IssuerDouble
from testing.service import EVERYTHING, settings_environ
from testing.service_clients import make_client, refusal_of
from testing.sessions import ENCRYPTION_KEY, open_session, sessions_on
from tokensvc.accounts import store
from tokensvc.accounts.store import Account
from tokensvc.app import startup
from tokensvc.app.services import Services
from tokensvc.config import loader
from tokensvc.core.callers import BasicCredential, BearerCredential
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Code
from tokensvc.database.engine import Database
from tokensvc.sessions.issued import user_response
from tokensvc.sessions.oauth.client_credentials import ClientCredentialsForm, issue
from tokensvc.sessions.oauth.grant import Client
from tokensvc.tokens.rules import TokenRequest

ADDRESS = "203.0.113.1"
USER = TokenRequest()
SERVICE = TokenRequest(user_id="ada", auth_time=1)


@pytest.fixture(scope="module")
def idp() -> Iterator[IssuerDouble]:
    with IssuerDouble() as double:
        yield double


@contextlib.contextmanager
def built(folder: Path, idp: IssuerDouble, **more: str) -> Iterator[Services]:
    """Yield the services of a process that has its keys in memory."""
    required = {
        **EVERYTHING,
        "TOKENSVC_ISSUERS": json.dumps([idp.config()]),
        "TOKENSVC_SHARED_USER_IDS": "true",
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([ENCRYPTION_KEY]),
        **more,
    }
    settings = loader.load(settings_environ(folder, **required))
    startup.create_database(settings)
    services = startup.prepare(settings)
    assert services.accounts is not None
    services.accounts.signing_rotation.step()
    yield services
    services.close()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, idp: IssuerDouble) -> Iterator[Services]:
    with built(tmp_path_factory.mktemp("reads"), idp) as services:
        yield services


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """
    Return the parameters of each prepared read, and each other statement, of this thread.

    A prepared read without parameters counts as "none".
    """
    found: list[str] = []
    thread, fetch = threading.get_ident(), Database.fetch

    def counted(self: Database, statement: Any, values: Any = None) -> list[tuple[Any, ...]]:
        if threading.get_ident() == thread:
            found.extend(values or ("none",))
        return fetch(self, statement, values or {})

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == thread:
            found.append(statement)

    monkeypatch.setattr(Database, "fetch", counted)
    sa.event.listen(sa.Engine, "before_cursor_execute", executed)
    yield found
    sa.event.remove(sa.Engine, "before_cursor_execute", executed)


def access_token(services: Services) -> str:
    """Return an access token of a new session."""
    assert services.accounts is not None
    sessions = sessions_on(services.database, system_clock)
    with services.database.write() as tx:
        grant = open_session(tx, sessions)
    return user_response(grant, services.accounts.access_tokens).access_token


def test_mint_with_a_providers_token_reads_only_the_standing(
    services: Services, idp: IssuerDouble, reads: list[str]
) -> None:
    credential = BearerCredential(idp.token())
    services.tokens.mint_token(USER, credential, ADDRESS)
    reads.clear()
    services.tokens.mint_token(USER, credential, ADDRESS)
    assert reads == ["user_id"]


def test_mint_with_an_access_token_reads_standing_and_session_together(
    services: Services, reads: list[str]
) -> None:
    credential = BearerCredential(access_token(services))
    services.tokens.mint_token(USER, credential, ADDRESS)
    reads.clear()
    services.tokens.mint_token(USER, credential, ADDRESS)
    assert reads == ["session_id"]


def test_mint_of_a_service_reads_its_client_and_the_standing(
    services: Services, reads: list[str]
) -> None:
    client = make_client(services.database, "reading", "tokens:mint")
    credential = BasicCredential(client.id, client.secret)
    services.tokens.mint_token(SERVICE, credential, ADDRESS)
    reads.clear()
    services.tokens.mint_token(SERVICE, credential, ADDRESS)
    assert reads == ["client_id", "user_id"]


@pytest.mark.parametrize("url", ["sqlite_url", "migrated_postgres_url"])
def test_mint_of_a_service_for_an_account_reads_standing_and_account_together(
    tmp_path: Path, idp: IssuerDouble, request: pytest.FixtureRequest, url: str, reads: list[str]
) -> None:
    more = {
        "TOKENSVC_DATABASE_URL": request.getfixturevalue(url),
        "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "chat-",
        "TOKENSVC_ISSUERS": "[]",
        "TOKENSVC_SHARED_USER_IDS": "false",
    }
    with built(tmp_path, idp, **more) as services:
        assert services.accounts is not None
        client = make_client(services.database, "reading", "tokens:mint")
        credential = BasicCredential(client.id, client.secret)
        wanted = TokenRequest(user_id="chat-ada", auth_time=1)
        assert refusal_of(services.tokens.mint_token, wanted, credential, ADDRESS).code is (
            Code.USER_ID_INVALID
        )
        with services.database.write() as tx:
            assert store.insert(tx, Account("chat-ada", None, 1))
        reads.clear()
        assert services.tokens.mint_token(wanted, credential, ADDRESS).user_id == "chat-ada"
        assert reads == ["client_id", "user_id"]


def test_mint_with_the_access_token_of_a_service_reads_its_client_and_the_standing(
    services: Services, reads: list[str]
) -> None:
    """The statement that reads the client also reads the time and the version of the key ring."""
    client = make_client(services.database, "reading-tokens", "tokens:mint")
    basic = BasicCredential(client.id, client.secret)
    credential = BearerCredential(_access_token(services, basic))
    services.tokens.mint_token(SERVICE, credential, ADDRESS)
    reads.clear()
    services.tokens.mint_token(SERVICE, credential, ADDRESS)
    assert reads == ["client_id", "user_id"]


@pytest.mark.parametrize("url", ["sqlite_url", "migrated_postgres_url"])
def test_access_token_of_a_service_reads_its_client_time_and_key_ring_together(
    tmp_path: Path, idp: IssuerDouble, request: pytest.FixtureRequest, url: str, reads: list[str]
) -> None:
    more = {"TOKENSVC_DATABASE_URL": request.getfixturevalue(url)}
    with built(tmp_path, idp, **more) as services:
        client = make_client(services.database, "reading", "tokens:mint")
        basic = BasicCredential(client.id, client.secret)
        _access_token(services, basic)
        reads.clear()
        _access_token(services, basic)
        assert reads == ["client_id"]


def _access_token(services: Services, basic: BasicCredential) -> str:
    assert services.accounts is not None
    form = ClientCredentialsForm(grant_type="client_credentials")
    client = Client(services.callers.service_client(basic, ADDRESS), "", ADDRESS)
    return issue(services.accounts.oauth, form, client).access_token
