"""Environments do not mix: what production refuses of development, the reverse, and the way out."""

import json
import sqlite3
from contextlib import closing

import pytest

from testing.service import STREAM_API_KEY, STREAM_API_SECRET, free_port, settings_environ
from tokensvc.cli.session import opened_services
from tokensvc.clients.rules import DEVELOPMENT_ACTOR, Rights, operator
from tokensvc.config.model import PLACEHOLDER_API_KEY
from tokensvc.core.actions import ActionContext
from tokensvc.core.scopes import Scope
from tokensvc.vault.vault import Vault

DEVELOPMENT = {"TOKENSVC_ENVIRONMENT": "development"}
PRODUCTION = {"TOKENSVC_ENVIRONMENT": "production"}
PLACEHOLDER = {**DEVELOPMENT, "STREAM_API_KEY": PLACEHOLDER_API_KEY}

pytestmark = pytest.mark.sec(61)


@pytest.fixture(params=["sqlite", "postgresql"])
def command(request, tokensvc):
    """Return the command, on a database of each kind."""
    if request.param == "postgresql":
        tokensvc.settings |= {
            "TOKENSVC_DATABASE_URL": request.getfixturevalue("postgres_url"),
            "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
        }
    return tokensvc


def dump(folder):
    with closing(sqlite3.connect(folder / "tokensvc.db")) as connection:
        return list(connection.iterdump())


def forget_environment(folder):
    """Make the database look like one of an earlier release."""
    with closing(sqlite3.connect(folder / "tokensvc.db")) as connection:
        connection.execute("DELETE FROM database_environment")
        connection.commit()


def refused_everywhere(tokensvc, text, settings):
    """Check that a start, `doctor` and a command refuse the settings with this text."""
    bind = {"TOKENSVC_BIND": f"127.0.0.1:{free_port()}"}
    ended = [
        tokensvc.process("serve", **settings, **bind),
        tokensvc("doctor", **settings),
        tokensvc("token", "mint", "john", **settings),
    ]
    assert [one.code for one in ended] == [1, 1, 1]
    for one in ended:
        assert text in one.out + one.err
        assert "Traceback" not in one.err


@pytest.mark.parametrize("made, used", [(DEVELOPMENT, PRODUCTION), (PRODUCTION, DEVELOPMENT)])
def test_database_of_the_other_environment_is_refused(command, tmp_path, made, used):
    """With the way out. A new database belongs to the environment that migrated it."""
    (tmp_path / "tokensvc.db").unlink()
    assert command("migrate", **made).code == 0
    recorded = made["TOKENSVC_ENVIRONMENT"]
    text = f"The database was made with `environment` = {recorded}"
    refused_everywhere(command, text, used)
    refused = command("migrate", **used)
    assert refused.code == 1
    assert "Set `database_url` to another database" in refused.err
    assert command("clients", "list", **used).code == 1
    assert command("token", "mint", "john", **made).code == 0


def test_database_of_an_earlier_release_belongs_to_the_next_start(tokensvc, tmp_path):
    assert tokensvc("token", "mint", "john", **PRODUCTION).code == 0
    forget_environment(tmp_path)
    assert tokensvc("doctor", **DEVELOPMENT).code == 0
    assert tokensvc("token", "mint", "john", **PRODUCTION).code == 0
    assert tokensvc("token", "mint", "john", **DEVELOPMENT).code == 1


def test_placeholder_key_in_the_settings_is_refused_in_production(tokensvc, tmp_path):
    (tmp_path / "tokensvc.db").unlink()
    text = "Stream rejects the placeholder key of `make run`. Set STREAM_API_KEY and"
    refused_everywhere(tokensvc, text, {**PRODUCTION, "STREAM_API_KEY": PLACEHOLDER_API_KEY})
    assert not (tmp_path / "tokensvc.db").exists()


def test_placeholder_key_in_the_ring_is_refused_in_production_until_retired(tokensvc, tmp_path):
    """In a database of an earlier release, which does not say who made it."""
    assert tokensvc("token", "mint", "john", **PLACEHOLDER).code == 0
    forget_environment(tmp_path)
    before = dump(tmp_path)
    (placeholder,) = tokensvc("stream-keys", "list", "--json").json
    retire = ("stream-keys", "retire", placeholder["id"])
    refused_everywhere(tokensvc, f"`tokensvc {' '.join(retire)}`", PRODUCTION)
    assert dump(tmp_path) == before
    added = tokensvc("stream-keys", "add", STREAM_API_KEY, "--json", stdin=STREAM_API_SECRET).json
    assert tokensvc("stream-keys", "activate", added["id"]).code == 0
    assert tokensvc(*retire).code == 0
    assert tokensvc("token", "mint", "john", **PRODUCTION).code == 0


def make_development_client(monkeypatch, tmp_path):
    """Create a client as `make run` does."""
    with monkeypatch.context() as patched:
        for name, value in settings_environ(tmp_path, **DEVELOPMENT).items():
            patched.setenv(name, value)
        with opened_services() as services:
            rights = Rights(frozenset({Scope.TOKENS_MINT}), vouches=True)
            services.client_administration.create(
                "demo", rights, administrator=operator(ActionContext(DEVELOPMENT_ACTOR))
            )
    forget_environment(tmp_path)


def test_client_of_development_is_refused_in_production_until_deleted(
    tokensvc, tmp_path, monkeypatch
):
    make_development_client(monkeypatch, tmp_path)
    refused_everywhere(tokensvc, "`tokensvc clients delete svc.demo`", PRODUCTION)
    assert tokensvc("clients", "delete", "svc.demo").code == 0
    created = tokensvc("clients", "create", "demo", "--scope", "tokens:mint", **PRODUCTION)
    assert created.code == 0
    assert tokensvc("doctor", **PRODUCTION).code == 0
