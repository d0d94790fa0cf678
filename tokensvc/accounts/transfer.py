"""
Import and export of accounts as JSON Lines: `{user_id, password_hash, user?, created_at?}`.

An import changes no account that exists, so it can be repeated. It reports every row that it cannot
import, and imports all others.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from tokensvc.accounts import rules, store
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.passwords.foreign_hashes import check_hash
from tokensvc.accounts.store import Account
from tokensvc.audit.rules import Action
from tokensvc.audit.store import record, record_each
from tokensvc.core import stream_user, strict_json
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Refusal

MAX_LINE = 64 * 1024
"""Bytes of a line of an import."""

_BATCH = 500
_ALL_ACCOUNTS = "accounts:all"
"""Subject of the audit event of an export. A user ID cannot contain a colon."""

_decode = strict_json.DECODER.decode


class AccountRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One account.

    Attributes:
        password_hash: Hash of argon2, scrypt or bcrypt; `None` for no password until a reset.
        user: User object that Stream must hold, with `id`; `None` to deliver none.
        created_at: Time of the sign-up, in epoch seconds; `None` for now.
    """

    user_id: str
    password_hash: str | None
    user: dict[str, Any] | None = None
    created_at: int | None = None


class NumberedRow(NamedTuple):
    """A row and its line number (from 1)."""

    line: int
    row: AccountRow


class BadRow(msgspec.Struct, frozen=True):
    """
    A line that was not imported.

    Attributes:
        line: Number of the line, from 1.
        detail: Reason, without the hash.
    """

    line: int
    detail: str


class ImportResult(msgspec.Struct):
    """
    The numbers of an import.

    Attributes:
        created: Number of new accounts.
        unchanged: Number of rows whose account existed.
        bad: Number of lines that were not imported.
    """

    created: int = 0
    unchanged: int = 0
    bad: int = 0


class AccountTransfer:
    """Imports and exports accounts. An import that failed can be repeated."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    def load(
        self, lines: Iterable[bytes], context: ActionContext, report: Callable[[BadRow], None]
    ) -> ImportResult:
        """
        Import lines in batches, each in one transaction. Empty lines are skipped.

        Args:
            report: Function to call for each line that is not imported.
        """
        result = ImportResult()

        def refuse(line: int, detail: str) -> None:
            result.bad += 1
            report(BadRow(line, detail))

        rows = self._valid_rows(lines, refuse)
        while batch := list(islice(rows, _BATCH)):
            created, deleted = self._create(batch, context)
            for line, row in batch:
                if row.user_id in deleted:
                    refuse(line, "the account was deleted: its user ID is never assigned again")
            result.created += len(created)
            result.unchanged += len(batch) - len(created) - len(deleted)
        return result

    def dump(self, context: ActionContext) -> Iterator[str]:
        """
        Yield the lines of all accounts that are not deleted, in the order of their IDs.

        The hashes are in them: an audit event comes first.
        """
        with self._deps.database.write() as tx:
            now = self._deps.database_clock.read(tx)
            record(tx, context, Action.ACCOUNTS_EXPORTED, _ALL_ACCOUNTS, now=now)
        after = None
        while True:
            with self._deps.database.read() as connection:
                accounts = store.page(connection, after=after, limit=_BATCH)
                users = self._deps.deliveries.profiles(
                    connection, [one.user_id for one in accounts]
                )
            if not accounts:
                return
            yield from (_line(account, users.get(account.user_id)) for account in accounts)
            after = accounts[-1].user_id

    def _valid_rows(
        self, lines: Iterable[bytes], refuse: Callable[[int, str], None]
    ) -> Iterator[NumberedRow]:
        """Yield the rows that can be imported, and refuse the others."""
        now = self._deps.database_clock()
        line_of: dict[str, int] = {}
        for line, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            try:
                row = _parse(text)
                self._check(row, now)
            except (ValueError, RecursionError) as error:
                refuse(line, str(error))
                continue
            except Refusal as refusal:
                refuse(line, refusal.detail)
                continue
            first = line_of.setdefault(row.user_id, line)
            if first == line:
                yield NumberedRow(line, row)
            else:
                refuse(line, f"line {first} has the same user ID")

    def _check(self, row: AccountRow, now: float) -> None:
        """
        Check a row as far as this is possible without the other accounts.

        Raises:
            Refusal: `user_id_invalid`, `user_id_mismatch` or `user_invalid`.
            ValueError: Another member is not valid.
        """
        rules.check_user_id(row.user_id, self._deps.settings.user_id_prefix, self._deps.alphabet)
        if row.password_hash is not None:
            check_hash(row.password_hash)
        if row.user is not None:
            stream_user.check(row.user, row.user_id, by_server=True)
        if row.created_at is not None and not 0 <= row.created_at <= now:
            raise ValueError("created_at must be in the past, in epoch seconds")

    def _create(
        self, batch: list[NumberedRow], context: ActionContext
    ) -> tuple[set[str], set[str]]:
        """Create the accounts that never existed. Return their IDs, and those of deleted ones."""
        # Two imports lock the IDs in the same order.
        rows = sorted((row for _, row in batch), key=lambda row: row.user_id)
        with self._deps.database.write() as tx:
            now = self._deps.database_clock.read(tx)
            new = [
                Account(
                    row.user_id,
                    row.password_hash,
                    int(now) if row.created_at is None else row.created_at,
                )
                for row in rows
            ]
            created = store.insert_many(tx, new)
            record_each(tx, context, Action.ACCOUNT_IMPORTED, sorted(created), now=now)
            for row in rows:
                if row.user is not None and row.user_id in created:
                    self._deps.deliveries.set_profile_within(
                        tx, row.user_id, row.user, context.actor
                    )
            others = store.find_many(tx, {row.user_id for row in rows} - created)
        deleted = {one.user_id for one in others.values() if one.deleted_at is not None}
        return created, deleted


def _parse(line: bytes) -> AccountRow:
    """
    Return the row in a line.

    Raises:
        ValueError: The line is too long, or is not a row. The text does not quote it.
    """
    if len(line) > MAX_LINE:
        raise ValueError(f"the line has more than {MAX_LINE} bytes")
    try:
        content = _decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("the line is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    return msgspec.convert(content, AccountRow)


def _line(account: Account, user: Any) -> str:
    row: dict[str, Any] = {"user_id": account.user_id, "password_hash": account.password_hash}
    if user is not None:
        row["user"] = user
    row["created_at"] = account.created_at
    return json.dumps(row)
