"""Import and export of accounts on both databases."""

import contextlib
import json
import shutil
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import scrypt

import bcrypt
import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher as Argon2

from testing.accounts import PASSWORD, AccountParts
from testing.database_url import migrated_sqlite_file
from testing.lock_waits import wait_until_blocked
from testing.query_plans import engine_of
from tokensvc.accounts import store
from tokensvc.accounts.settings import AccountSettings
from tokensvc.accounts.store import Account
from tokensvc.accounts.tables import accounts as accounts_table
from tokensvc.accounts.transfer import MAX_LINE, BadRow, ImportResult
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Database

CONTEXT = ActionContext("cli:root", "move from the old system")


def phc(raw):
    return b64encode(raw).rstrip(b"=").decode()


SALT = b"sixteen bytes !!"
HASHES = {
    "argon2": Argon2(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD),
    "bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "scrypt": "$scrypt$ln=4,r=8,p=1$"
    + phc(SALT)
    + "$"
    + phc(scrypt(PASSWORD.encode(), salt=SALT, n=16, r=8, p=1)[:32]),
}
HASH = HASHES["argon2"]


def line(user_id="ada", password_hash=HASH, **more):
    return json.dumps({"user_id": user_id, "password_hash": password_hash, **more}).encode()


def load(parts, *lines):
    """Return the numbers of an import, and the bad rows."""
    bad: list[BadRow] = []
    return parts.transfer.load(lines, CONTEXT, bad.append), bad


def numbers(created=0, unchanged=0, bad=0):
    return ImportResult(created=created, unchanged=unchanged, bad=bad)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_repeated_import_executes_no_more_statements(parts, database):
    """So that it takes no longer, and a long one can be interrupted."""
    executed = []

    def record(_connection, _cursor, statement, *_):
        executed.append(statement)

    lines = [line(f"u{number}", user={"id": f"u{number}"}) for number in range(3)]
    sa.event.listen(engine_of(database), "before_cursor_execute", record)
    load(parts, *lines)
    first = len(executed)
    load(parts, *lines)
    assert 0 < len(executed) - first <= first


@pytest.mark.parametrize("kind", HASHES)
def test_imported_user_has_the_password_of_the_other_system(parts, kind):
    result, bad = load(parts, line(password_hash=HASHES[kind], created_at=1_500_000_000))
    assert (result, bad) == (numbers(created=1), [])
    assert parts.has_password(PASSWORD)
    assert parts.account().created_at == 1_500_000_000


def test_imports_of_the_same_users_in_different_orders_do_not_deadlock(
    migrated_postgres_url, clock
):
    """The first user of another import is the last line of this one."""
    with contextlib.closing(Database.open(migrated_postgres_url, pool_size=4)) as database:
        parts = AccountParts(database, clock)
        with ThreadPoolExecutor(1) as executor:
            with database.write() as other:
                store.insert(other, Account("ada", HASH, 0))
                importing = executor.submit(load, parts, line("bob"), line("ada"))
                wait_until_blocked(database)
                store.insert(other, Account("bob", HASH, 0))
            assert importing.result() == (numbers(unchanged=2), [])


def test_import_delivers_users_and_writes_an_event_for_each(database, clock, stream):
    parts = AccountParts(database, clock, stream_url=stream.url)
    load(parts, line("bob"), line(user={"id": "ada", "name": "Ada", "role": "moderator"}))
    assert sorted(parts.events()) == [
        ("cli:root", "account:imported", "ada"),
        ("cli:root", "account:imported", "bob"),
        ("cli:root", "profile:set", "ada"),
    ]
    with database.read() as connection:
        profiles = parts.deliveries.profiles(connection, ["ada", "bob"])
    assert profiles == {"ada": {"id": "ada", "name": "Ada", "role": "moderator"}}


def test_repeated_import_changes_nothing(parts):
    """Also the password of a user who has changed it since."""
    lines = [line(), line("bob")]
    assert load(parts, *lines)[0] == numbers(created=2)
    events = parts.events()
    other = line(password_hash=HASHES["bcrypt"], user={"id": "ada"})
    assert load(parts, other, line("bob"), line("cora"))[0] == numbers(created=1, unchanged=2)
    assert parts.account().password_hash == HASH
    assert parts.events()[len(events) :] == [("cli:root", "account:imported", "cora")]


BAD = {
    "not JSON: Expecting value at character 0": b"ada",
    "the line is not UTF-8": b'{"user_id": "\xff"}',
    "a member is named twice": b'{"user_id": "a", "user_id": "b", "password_hash": null}',
    "Object missing required field `password_hash`": b'{"user_id": "ada"}',
    "Object contains unknown field `passwd`": line(passwd="x"),
    "Expected `object`, got `array`": b"[]",
    "A user ID is 1 to 255 of a-z 0-9 @ _ -.": line("Ada"),
    f"the line has more than {MAX_LINE} bytes": line(user={"about": "x" * MAX_LINE}),
    "`user.id` differs from the user ID of the token: make them equal.": line(user={"id": "bob"}),
    "Only a revocation may set revoke_tokens_issued_before: leave it out of `user`.": line(
        user={"id": "ada", "revoke_tokens_issued_before": None}
    ),
    "created_at must be in the past, in epoch seconds": line(created_at=99_999_999_999),
    "bcrypt: write $2b$, two digits, $ and 53 characters": line(password_hash="$2b$10$short"),
}


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_bad_rows_are_reported_by_line_and_others_are_imported(parts):
    """An empty line is none; the reason does not quote the hash."""
    lines = [line("first"), b"\n", *BAD.values(), line("last"), b""]
    result, bad = load(parts, *lines)
    assert [row.line for row in bad] == list(range(3, 3 + len(BAD)))
    for row, expected in zip(bad, BAD, strict=True):
        assert row.detail.startswith(expected), row
    assert result == numbers(created=2, bad=len(BAD))
    assert parts.account("first")
    assert parts.account("last")


def test_user_id_without_the_prefix_is_a_bad_row(database, clock):
    parts = AccountParts(database, clock, AccountSettings(user_id_prefix="chat-"))
    result, (bad,) = load(parts, line("ada"), line("chat-ada"))
    assert (result, bad.line) == (numbers(created=1, bad=1), 1)


def test_second_row_of_a_user_is_a_bad_row(parts):
    result, bad = load(parts, line(), line("bob"), line(password_hash=HASHES["bcrypt"]))
    assert result == numbers(created=2, bad=1)
    assert bad == [BadRow(3, "line 1 has the same user ID")]
    assert parts.account().password_hash == HASH


def test_row_of_a_deleted_account_is_a_bad_row(parts):
    parts.sign_up()
    parts.accounts.delete("ada", CONTEXT)
    result, bad = load(parts, line("bob"), line())
    assert result == numbers(created=1, bad=1)
    assert (bad[0].line, "deleted" in bad[0].detail) == (2, True)
    assert parts.account().password_hash is None


def test_rows_of_many_batches_are_all_imported(parts):
    """More than two batches, with bad rows in between."""
    lines = [line(f"u{number}") if number % 100 else b"{}" for number in range(1234)]
    result, bad = load(parts, *lines)
    assert result == numbers(created=1221, bad=13)
    assert [row.line for row in bad] == [number + 1 for number in range(0, 1234, 100)]
    with parts.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(accounts_table)) == 1221


@pytest.fixture
def other_parts(tmp_path, clock):
    """Yield the services of accounts on another database."""
    path = shutil.copy(migrated_sqlite_file(), tmp_path / "other.db")
    database = Database.open(f"sqlite:///{path}", pool_size=1)
    yield AccountParts(database, clock)
    database.close()


def test_import_reads_what_export_writes(parts, other_parts):
    """Passwords, times, users, and accounts without a password; not deleted ones."""
    parts.sign_up(user={"id": "ada", "name": "Ädä\u2028"})
    load(parts, line("bob", created_at=1_500_000_000), line("cora", None), line("dora"))
    parts.accounts.delete("dora", CONTEXT)
    exported = list(parts.transfer.dump(CONTEXT))
    assert parts.events()[-1] == ("cli:root", "accounts:exported", "accounts:all")
    assert [json.loads(text)["user_id"] for text in exported] == ["ada", "bob", "cora"]
    result, bad = load(other_parts, *(text.encode() for text in exported))
    assert (result, bad) == (numbers(created=3), [])
    assert list(other_parts.transfer.dump(CONTEXT)) == exported
    for user_id in ("ada", "bob", "cora"):
        assert other_parts.account(user_id) == parts.account(user_id)


def test_export_has_every_account_once(parts):
    """More accounts than one page."""
    load(parts, *(line(f"u{number:04}") for number in range(1001)))
    exported = [json.loads(text)["user_id"] for text in parts.transfer.dump(CONTEXT)]
    assert exported == [f"u{number:04}" for number in range(1001)]
