"""The previous release and this one on one database, on the schema of this one."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from testing.database_parts import engine_of
from testing.http_client import Client
from testing.previous_release import check_out, find_commit
from testing.service import NO_LIMITS, running_service, settings_environ
from testing.service_clients import basic, make_client
from testing.sessions import ENCRYPTION_KEY
from tokensvc.database import schema
from tokensvc.database.engine import Database

pytestmark = pytest.mark.slow

COMMIT = find_commit()
COMMAND = "from tokensvc.cli import main; main()"
PASSWORD = "copper lantern drifts home"


def columns(engine):
    inspector = sa.inspect(engine)
    return {
        (table, column["name"]): column
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }


def breaking_changes(before, after):
    """Return the columns with which statements of the previous release can fail."""
    tables = {table for table, _ in before}
    changed = [
        key
        for key, column in before.items()
        if key not in after
        or str(after[key]["type"]) != str(column["type"])
        or after[key]["nullable"] < column["nullable"]
    ]
    required = [
        key
        for key, column in after.items()
        if key[0] in tables and key not in before
        if not column["nullable"] and column["default"] is None
    ]
    return changed + required


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE a",
        "ALTER TABLE a DROP COLUMN used",
        "ALTER TABLE a RENAME COLUMN used TO other",
        "ALTER TABLE a ALTER COLUMN used TYPE text",
        "ALTER TABLE a ALTER COLUMN used SET NOT NULL",
        "ALTER TABLE a ADD COLUMN more integer NOT NULL",
    ],
)
def test_breaking_change_is_found(postgres_url, statement):
    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE a (id integer PRIMARY KEY, used integer)")
        before = columns(connection)
        connection.exec_driver_sql(statement)
        assert breaking_changes(before, columns(connection))
    engine.dispose()


@pytest.mark.skipif(COMMIT is None, reason="the clone has no history with a previous release")
def test_previous_release_and_this_one_work_on_the_new_schema(tmp_path, postgres_url):
    """The migration runs while the previous release serves."""
    source = tmp_path / "previous"
    source.mkdir()
    previous = check_out(COMMIT, source)
    settings = {
        "TOKENSVC_DATABASE_URL": postgres_url,
        "TOKENSVC_ENCRYPTION_KEYS": f'["{ENCRYPTION_KEY}"]',
        "TOKENSVC_ACCOUNTS__ENABLED": "true",
        "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
        **NO_LIMITS,
    }
    subprocess.run(
        [*previous.prefix, sys.executable, "-c", COMMAND, "migrate"],
        env=settings_environ(tmp_path, **settings),
        check=True,
        capture_output=True,
    )
    database = Database.open(postgres_url, pool_size=1)
    before = columns(engine_of(database))
    with running_service(tmp_path, previous.prefix, **settings) as old:
        sign_up(Client(old.base_url), "before")
        schema.migrate(database)
        assert breaking_changes(before, columns(engine_of(database))) == []
        operator = basic(make_client(database, "operator", "revocations:write"))
        with running_service(tmp_path, **settings) as new:
            clients = [Client(each.base_url) for each in (old, new)]
            old.reload()  # it starts on the new schema, as after a rollback
            for number, (actor, other) in enumerate((clients, clients[::-1])):
                check_each_other(f"user{number}", actor, other, operator)
            assert sign_in(clients[1], "before").status == 200
    database.close()


def check_each_other(user_id, actor, other, operator):
    """Act at one instance, and see the result at the other."""
    session = sign_up(actor, user_id).json
    for instance in (other, actor, other):
        previous, session = session, refresh(instance, session).json
    repeated = [refresh(instance, previous).json["refresh_token"] for instance in (actor, other)]
    assert repeated == [session["refresh_token"]] * 2, "one successor"
    assert mint(actor, session).status == mint(other, session).status == 200
    path = f"/v1/users/{user_id}/suspension"
    assert actor.request("PUT", path, headers=operator).status == 200
    assert mint(other, session).code == mint(actor, session).code == "user_suspended"
    assert refresh(other, session).status == 400
    assert other.request("DELETE", path, headers=operator).status == 200
    assert sign_in(actor, user_id).status == 200


def mint(client, session):
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    return client.post("/v1/token", headers=bearer)


def sign_up(client, user_id):
    body = {"user_id": user_id, "password": PASSWORD}
    assert client.post("/v1/accounts", json=body).status == 201
    return sign_in(client, user_id)


def sign_in(client, user_id):
    return client.post("/v1/sessions", json={"user_id": user_id, "password": PASSWORD})


def refresh(client, session):
    form = {"grant_type": "refresh_token", "refresh_token": session["refresh_token"]}
    return client.post("/oauth/token", form=form)
