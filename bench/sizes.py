"""What PostgreSQL keeps for a user, a session and an audit event, and the WAL of each action."""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import redis
from pydantic import SecretStr

from bench import report
from bench.account_load import PASSWORD
from bench.interleaved import postgres_server
from bench.revoked import revoke
from testing.account_world import AccountWorld, running_account_world
from testing.database_url import migrate
from testing.redis_server import RedisServer
from testing.sessions import sessions_on
from testing.waiting import wait_until
from testing.world import minted
from tokensvc.accounts import store as account_store
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.store import Account
from tokensvc.core.clock import system_clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings
from tokensvc.sessions.settings import SessionSettings

_USERS = 100
_SUSPENSIONS = 20
_MINTS = 500
"""Enough for a mean in which the background loops of the service do not count."""
_HITS = 10_000
_SETTINGS = SessionSettings(reuse_grace=1)
_COPIES: Mapping[str, Mapping[str, str]] = {
    "accounts": {"user_id": "{user}"},
    "known_addresses": {"user_id": "{user}"},
    "sessions": {"id": "md5(n::text)", "user_id": "{user}"},
    "audit_events": {
        "id": "left(id, 9) || lpad(to_hex(n), 7, '0') || right(id, 12)",
        "actor": "{user}",
        "subject": "{user}",
    },
}
"""Columns that differ in the copies of a real row, whose number is `n`."""
_TABLES = (*_COPIES, "user_standings", "revocations", "deliveries")
_SPREAD = (
    "CREATE TEMP TABLE kept AS TABLE sessions",
    "TRUNCATE sessions",
    "INSERT INTO sessions SELECT * FROM kept ORDER BY random()",
    "VACUUM ANALYZE",
)


@dataclass
class _Scene:
    """
    The service, its database, and users with accounts.

    Attributes:
        tokens: Refresh token of each user who is signed in.
    """

    world: AccountWorld
    postgres: psycopg.Connection[Any]
    users: list[str]
    tokens: dict[str, str] = field(default_factory=dict)

    def fill(self, rows: int) -> None:
        """Sign the users in, and copy what that leaves behind."""
        stored = PasswordHasher(HashingPool(1, WaitSlots(1))).hash(PASSWORD)
        with self.world.database.write() as tx:
            for user in self.users:
                account_store.insert(tx, Account(user, stored, int(time.time()), None))
                self.world.make_stream_user(user)
        self.sign_in()
        self.refresh()
        for table in _COPIES:
            self._copy_rows(table, rows)
        self.run("VACUUM ANALYZE")

    def sign_in(self) -> int:
        """Sign all users in, and return their number."""
        for user in self.users:
            body = {"user_id": user, "password": PASSWORD}
            response = self.world.anonymous.post("/v1/sessions", json=body)
            self.tokens[user] = response.json["refresh_token"]
        return len(self.users)

    def mint(self) -> int:
        """Mint for a user again and again."""
        user = self.world.signed_in("ada")
        for _ in range(_MINTS):
            assert minted(user).status == 200
        return _MINTS

    def refresh(self, *, audits: bool = False) -> int:
        """Refresh the session of each user."""
        time.sleep(_SETTINGS.reuse_grace)  # within it nothing rotates
        database = self.world.database
        sessions = sessions_on(database, system_clock, _SETTINGS, audits_refreshes=audits)
        for user, token in self.tokens.items():
            issued = sessions.refresh(token, "app", address="127.0.0.1")
            assert issued.refresh_token != token
            self.tokens[user] = issued.refresh_token
        return len(self.tokens)

    def suspend(self) -> int:
        """Suspend some users, and wait until Stream has it."""
        some = [self.users.pop() for _ in range(_SUSPENSIONS)]
        for user in some:
            assert self.world.suspend(user).status == 200
        pending = "SELECT count(*) FROM deliveries WHERE state = 'pending'"
        wait_until(lambda: self.value(pending) == 0, "Stream has the suspensions", timeout=300)
        return len(some)

    def make_older(self) -> None:
        """Let the next refresh of each user be the first one of a later day."""
        users = ", ".join(f"'{user}'" for user in self.users)
        for table, column in (("sessions", "used_on"), ("known_addresses", "last_signed_in_at")):
            self.run(f"UPDATE {table} SET {column} = {column} - 86400 WHERE user_id IN ({users})")

    def wal(
        self, act: Callable[[], int], prepare: Callable[[], None], *, compression: str = "off"
    ) -> tuple[float, float]:
        """Return the bytes of WAL of an action after a checkpoint, and those of a later one."""
        self.run(f"ALTER SYSTEM SET wal_compression = {compression}")
        self.run("SELECT pg_reload_conf()")
        is_off = compression == "off"
        wait_until(
            lambda: (self.value("SHOW wal_compression") == "off") == is_off, "the server has it"
        )
        prepare()
        self.run("CHECKPOINT")
        first = self._written_by(act)
        prepare()
        return first, self._written_by(act)

    def bytes_of(self, table: str) -> tuple[float, float]:
        """Return the bytes of a row, and those of its entries in the indexes."""
        sizes = f"SELECT {{}}::float / count(*) FROM {table}"
        return (
            self.value(sizes.format(f"pg_table_size('{table}')")),
            self.value(sizes.format(f"pg_indexes_size('{table}')")),
        )

    def run(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        for statement in statements:
            self.postgres.execute(statement.encode())

    def value(self, query: str) -> Any:
        """Return the value of a query."""
        row = self.postgres.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def _written_by(self, act: Callable[[], int]) -> float:
        written = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
        before = self.value(written)
        count = act()
        return float(self.value(written) - before) / count

    def _copy_rows(self, table: str, count: int) -> None:
        columns = [
            str(row[0])
            for row in self.postgres.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
            )
        ]
        values = [_COPIES[table].get(name, name).format(user=_user("n")) for name in columns]
        self.run(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM"
            f" (SELECT * FROM {table} LIMIT 1) AS one, generate_series(1, {count}) AS n"
        )


def _user(number: str) -> str:
    """Return the SQL of a user ID; those of consecutive numbers are far apart."""
    return f"'user-' || lpad(({number}::bigint * 7919 % 1000000)::text, 7, '0')"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rows", type=int, default=100_000, help="rows of each table")


def run(options: argparse.Namespace) -> int:
    """Measure sizes; they do not depend on what else the machine does."""
    with postgres_server() as postgres, tempfile.TemporaryDirectory() as folder:
        url = postgres.fresh_url()
        migrate(url)
        settings = {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_STREAM__DELIVERY": "on"}
        with (
            running_account_world(Path(folder), **settings) as world,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            revoke(url, options.rows)
            scene = _Scene(world, connection, [])
            numbers = range(options.rows + 1, options.rows + 1 + _USERS)
            scene.users = [scene.value(f"SELECT {_user(str(number))}") for number in numbers]
            scene.fill(options.rows)
            sizes = [(table, *scene.bytes_of(table)) for table in _TABLES]
            written = _wal(scene)
    text = _text(options.rows, sizes, written)
    return report.finish("sizes", text, [], record=options.record)


def _text(
    rows: int,
    sizes: Sequence[tuple[str, float, float]],
    written: Mapping[str, tuple[float, float, float]],
) -> str:
    key, cpu = _redis()
    return (
        f"PostgreSQL, {rows:,} rows in each table, user IDs of 12 characters. WAL of {_USERS} "
        f"actions ({_SUSPENSIONS} suspensions, with their deliveries, and {_MINTS:,} mints) for "
        "users who are spread over the tables; of a mint it is that of background loops. Redis: a "
        f"limit of one user takes {key} bytes, a hit {cpu:.0f} us of its CPU time.\n\n"
        + report.table(
            ("table", "bytes of a row", "with its indexes"),
            [(name, f"{row:.0f}", f"{row + index:.0f}") for name, row, index in sizes],
        )
        + "\n\n"
        + report.table(
            ("bytes of WAL", "after a checkpoint", "with `wal_compression`", "later"),
            [(name, *(f"{one:,.0f}" for one in figures)) for name, figures in written.items()],
        )
    )


def _nothing() -> None:
    """Prepare nothing."""


def _wal(scene: _Scene) -> dict[str, tuple[float, float, float]]:
    actions: dict[str, Callable[[], int]] = {
        "mint": scene.mint,
        "sign-in": scene.sign_in,
        "refresh": scene.refresh,
        "refresh, the first of a day": scene.refresh,
        'refresh, `audit.refreshes = "all"`': partial(scene.refresh, audits=True),
        "suspension": scene.suspend,
    }
    figures = {}
    for name, act in actions.items():
        if name == "refresh":
            scene.run(*_SPREAD)
        prepare = scene.make_older if name.endswith("of a day") else _nothing
        first, later = scene.wal(act, prepare)
        compressed, _ = scene.wal(act, prepare, compression="on")
        figures[name] = (first, compressed, later)
    return figures


def _redis() -> tuple[int, float]:
    """Return the bytes that the limit of a user takes, and the CPU microseconds of a hit."""
    server = RedisServer()
    try:
        limiter = Limiter(LimitSettings(), SecretStr(server.url))
        with redis.Redis.from_url(server.url) as client:
            limiter.hit("mint", "user-0000000")
            (key,) = client.keys()
            size = client.memory_usage(key)
            before = _cpu_of(client)
            for number in range(_HITS):
                limiter.hit("mint", f"user-{number:07d}")
            return size, (_cpu_of(client) - before) / _HITS * 1e6
    finally:
        server.remove()


def _cpu_of(client: Any) -> float:
    cpu = client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])
