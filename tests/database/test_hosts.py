"""URLs of PostgreSQL that name several servers."""

import ssl

import pytest
import sqlalchemy as sa
import trustme
from psycopg.conninfo import conninfo_to_dict

from testing.relay import relayed
from tokensvc.core.errors import Refusal
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.database.hosts import for_primary, with_hosts_in_query

IN_LIBPQ = [
    "postgresql://ada:p%40ss@h1:5432,h2:5433/tokens?target_session_attrs=read-write",
    "postgresql://ada@h1,h2/tokens?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
    "postgresql://[::1]:5432,[2001:db8::2]:5433/tokens",
    "postgresql://ada@%2Frun%2Fa,%2Frun%2Fb:5433/tokens",
    "postgresql://ada@%2Frun%2Fa/tokens",
    "postgresql://ada@/tokens?host=h1,h2&port=5432,5433",
    "postgresql://ada@h1:5432/tokens?connect_timeout=3",
]


def facts(arguments):
    """Return arguments of libpq without empty ports, which stand for the default one."""
    ports = str(arguments.get("port", "")).strip(",")
    return {**{name: str(value) for name, value in arguments.items()}, "port": ports}


@pytest.mark.parametrize("url", IN_LIBPQ)
def test_libpq_and_sqlalchemy_read_the_same_hosts_as_libpq_in_the_url_of_the_setting(url):
    changed = with_hosts_in_query(url)
    assert facts(conninfo_to_dict(changed)) == facts(conninfo_to_dict(url))
    parsed = sa.make_url(changed)
    arguments = parsed.get_dialect()().create_connect_args(parsed)[1]
    assert facts(arguments) == facts(conninfo_to_dict(url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada@/tokens?host=h1:5432&host=h2:5433",
        "postgresql://ada@h1:5432,h2:5433/tokens?target_session_attrs=any",
    ],
)
def test_url_for_client_programs_names_the_primary_of_all_hosts(url):
    """SQLAlchemy's form has another meaning for libpq: only its last host."""
    assert for_primary(with_hosts_in_query(url)) == (
        "postgresql://ada@/tokens?host=h1,h2&port=5432,5433&target_session_attrs=read-write"
    )


@pytest.mark.parametrize("url", ["postgresql://ada@h1/tokens", "sqlite:///a,b.db"])
def test_url_of_one_host_or_file_is_unchanged(url):
    assert for_primary(with_hosts_in_query(url)) == url


def test_host_with_an_invalid_port_is_refused_without_a_quote():
    with pytest.raises(ValueError, match="host:5432") as refused:
        with_hosts_in_query("postgresql://ada:hush@h1:port,h2/tokens")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(("host", "is_accepted"), [("localhost", True), ("127.0.0.1", False)])
def test_certificate_must_name_the_host_with_verify_full(postgres, host, is_accepted):
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    folder = sa.make_url(postgres.fresh_url()).query["host"]
    with (
        relayed(f"{folder}/.s.PGSQL.5432", tls) as port,
        authority.cert_pem.tempfile() as path,
    ):
        hosts = f"{host}:{port},{host}:{port}"
        options = f"sslmode=verify-full&sslrootcert={path}"
        database = Database.open(f"postgresql://postgres@{hosts}/postgres?{options}", pool_size=1)
        if is_accepted:
            assert schema.status(database) == "empty"
        else:
            with pytest.raises(Refusal) as refused:
                schema.status(database)
            assert "certificate" in refused.value.reason
        database.close()
