"""A database that cannot be used: the start, `doctor` and the log say why and what to do."""

import json
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
import urllib3

from testing.http_client import Client
from testing.postgres import PostgresServer
from testing.service import free_port, running_service
from tokensvc.database.failures import explain_connection_failure
from tokensvc.vault.vault import Vault


@dataclass
class Case:
    """A `database_url` that cannot be used, and the text for it."""

    url: str
    text: str


def server_down(_folder, _postgres_url):
    port = free_port()
    return Case(
        f"postgresql://tokensvc:hush@127.0.0.1:{port}/tokensvc",
        f"Cannot connect to the database server 127.0.0.1:{port} (Connection refused). "
        "Start it or correct `database_url`.",
    )


def wrong_name(_folder, postgres_url):
    url = sa.make_url(postgres_url)
    return Case(
        postgres_url.replace(url.database, "nowhere"),
        f"Database nowhere does not exist on {url.query['host']}. Create it or correct "
        "`database_url`.",
    )


def wrong_role(_folder, postgres_url):
    return Case(
        postgres_url.replace("postgres@", "unknown:hush@"),
        "PostgreSQL rejected role unknown or its password. Correct `database_url`.",
    )


def not_a_database(folder, _postgres_url):
    path = folder / "notes.db"
    path.write_bytes(b"no database" * 1000)
    return Case(
        f"sqlite:///{path}",
        f"{path} is not an SQLite database. Restore a backup or correct `database_url`.",
    )


@pytest.fixture(params=[server_down, wrong_name, wrong_role, not_a_database])
def case(request, tmp_path, postgres_url):
    return request.param(tmp_path, postgres_url)


def test_start_and_doctor_say_what_is_wrong_with_the_database(case, tokensvc):
    tokensvc.settings |= {
        "TOKENSVC_DATABASE_URL": case.url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
        "TOKENSVC_BIND": f"127.0.0.1:{free_port()}",
    }
    started, checked = tokensvc.process("serve"), tokensvc("doctor")
    assert (started.code, checked.code) == (1, 1)
    assert case.text in started.err
    assert f"FAIL  database: {case.text}" in checked.out
    for output in (started.err, checked.out + checked.err):
        assert "hush" not in output
        assert "Traceback" not in output


@pytest.mark.parametrize(
    "text",
    [
        'connection failed: FATAL:  password authentication failed for user "ada"',
        "connection failed: connection to server failed: fe_sendauth: no password supplied",
        'connection failed: FATAL:  role "ada" is not permitted to log in',
        "FATAL:  SASL authentication failed",
    ],
)
def test_rejected_role_or_password_names_the_role(text):
    explained = explain_connection_failure(text, host="db.example", port="5432", role="ada")
    assert explained == "PostgreSQL rejected role ada or its password. Correct `database_url`."


@pytest.mark.parametrize(
    "text, reason",
    [
        ("connection timeout expired", "connection timeout expired"),
        (
            'connection to server at "db.example", port 5432 failed: FATAL:  too many\nmore',
            "too many",
        ),
        ("failed to resolve host 'db.example': [Errno -2] Name or service not known", None),
    ],
)
def test_unreachable_server_is_named_with_the_reason(text, reason):
    explained = explain_connection_failure(text, host="db.example", port="5432", role="ada")
    assert explained == (
        f"Cannot connect to the database server db.example:5432 ({reason or text}). Start it or "
        "correct `database_url`."
    )


@pytest.mark.sec(25)
def test_lost_server_is_named_in_the_log_and_not_in_the_response(tmp_path, tokensvc):
    server = PostgresServer()
    try:
        url = server.fresh_url()
        settings = {
            "TOKENSVC_DATABASE_URL": url,
            "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
        }
        assert tokensvc("migrate", **settings).code == 0
        with running_service(tmp_path, **settings) as service:
            server.stop()
            basic = urllib3.util.make_headers(basic_auth="svc.backend:secret")
            response = Client(service.base_url, basic).post("/v1/token", json={"user_id": "john"})
            log = service.log_path.read_text()
    finally:
        server.remove()
    assert response.status == 503
    folder = sa.make_url(url).query["host"]
    # In the line of the request, or of the breaker if other threads have opened it before.
    assert f"Cannot connect to the database server {folder}" in log
    assert folder not in response.text
