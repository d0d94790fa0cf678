"""The rows of accounts and of the codes that invite users or reset passwords."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.rules import CodeKind
from tokensvc.accounts.tables import account_codes, accounts
from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import Connection, Transaction
from tokensvc.database.upsert import insert as insert_into

_columns = accounts.c
_codes = account_codes.c
HAS_ACCOUNT: sa.ColumnElement[bool] = (
    sa.exists()
    .where(_columns.user_id == sa.bindparam("user_id"))
    .where(_columns.deleted_at.is_(None))
)
"""Condition that the user of the parameter `user_id` has an account."""


@dataclass(frozen=True, slots=True)
class Account:
    """
    An account, or what is left of a deleted one.

    Attributes:
        user_id: ID of the user on Stream.
        password_hash: Hash of the password; `None` for no password until a reset, and if deleted.
        created_at: Time of the sign-up, in epoch seconds.
        deleted_at: Time of the deletion, in epoch seconds; `None` if not deleted.
    """

    user_id: str
    password_hash: str | None = field(repr=False)
    created_at: int
    deleted_at: int | None = None


_ACCOUNT = tuple(_columns[member.name] for member in fields(Account))
"""Columns of which `account_of` makes an account."""
_FIND = sa.select(*_ACCOUNT).where(_columns.user_id == sa.bindparam("user_id"))


@dataclass(frozen=True, slots=True)
class StoredCode:
    """
    A code; only its hash is stored.

    Attributes:
        code_hash: Hash of the code.
        kind: What the code permits.
        user_id: The only user who can use it; `None` for an invitation of any user.
        created_at: Time of its creation, in epoch seconds.
        expires_at: Expiry, in epoch seconds.
    """

    code_hash: str
    kind: CodeKind
    user_id: str | None
    created_at: int
    expires_at: int


_CODE = tuple(_codes[member.name] for member in fields(StoredCode))
"""Columns of a `StoredCode`."""


def select_with_account(
    statement: sa.Select[Any], user_id: sa.ColumnElement[str]
) -> sa.Select[Any]:
    """Return a statement that also reads the columns of a user's account, nulls without one."""
    joined = statement.outerjoin(accounts, _columns.user_id == user_id)
    return joined.add_columns(*_ACCOUNT)


def account_of(columns: Sequence[Any]) -> Account | None:
    """Return the account in the columns that `select_with_account` adds, also a deleted one."""
    return None if columns[0] is None else Account(*columns)


def find(connection: Connection, user_id: str) -> Account | None:
    """Return the account of a user ID, also a deleted one."""
    row = connection.execute(_FIND, {"user_id": user_id}).one_or_none()
    return None if row is None else Account(*row)


def lock(tx: Transaction, user_id: str) -> Account | None:
    """Return an account that is not deleted, locked until the transaction ends."""
    exists = (_columns.user_id == user_id) & _columns.deleted_at.is_(None)
    row = tx.execute(sa.select(*_ACCOUNT).where(exists).with_for_update()).one_or_none()
    return None if row is None else Account(*row)


def insert(tx: Transaction, account: Account) -> bool:
    """Insert an account. Return false, without a change, if the ID was ever assigned."""
    return insert_many(tx, [account]) == {account.user_id}


def insert_many(tx: Transaction, new: Sequence[Account]) -> set[str]:
    """Insert accounts whose IDs were never assigned, and return these IDs."""
    rows = [asdict(account) for account in new]
    statement = insert_into(tx, accounts).values(rows).on_conflict_do_nothing()
    return set(tx.scalars(statement.returning(_columns.user_id)))


def replace_hash(tx: Transaction, user_id: str, seen_hash: str | None, new_hash: str) -> bool:
    """
    Store a new password hash.

    Args:
        seen_hash: Hash that the account had when the decision was made.

    Returns:
        False if the account has another hash by now, or is deleted: nothing is stored.
    """
    is_unchanged = (
        (_columns.user_id == user_id)
        & _columns.password_hash.is_not_distinct_from(seen_hash)
        & _columns.deleted_at.is_(None)
    )
    statement = accounts.update().where(is_unchanged).values(password_hash=new_hash)
    return tx.execute(statement).rowcount == 1


def mark_deleted(tx: Transaction, user_id: str, now: float) -> bool:
    """Erase the password of an account and mark it as deleted. Return false if it already was."""
    exists = (_columns.user_id == user_id) & _columns.deleted_at.is_(None)
    values = {"password_hash": None, "deleted_at": int(now)}
    return tx.execute(accounts.update().where(exists).values(values)).rowcount == 1


def erase(tx: Transaction, user_id: str, now: float) -> int:
    """
    Erase the password of a user and reserve the ID, also of a user who never had an account.

    Returns:
        Number of accounts that were not deleted before.
    """
    # First: a sign-up with this ID at the same time either sees this row, or is seen after it.
    insert(tx, Account(user_id, None, int(now), int(now)))
    return int(mark_deleted(tx, user_id, now))


def erase_codes(tx: Transaction, user_id: str, _now: float) -> int:
    """Delete the codes of a user, and return their number."""
    return tx.execute(account_codes.delete().where(_codes.user_id == user_id)).rowcount


def disable_password(tx: Transaction, user_id: str) -> None:
    """Erase the password of an account, so that only a reset gives it one."""
    statement = accounts.update().where(_columns.user_id == user_id)
    tx.execute(statement.values(password_hash=None))


def find_many(connection: Connection, user_ids: Collection[str]) -> dict[str, Account]:
    """Return the accounts of some user IDs, deleted ones too."""
    statement = sa.select(*_ACCOUNT).where(_columns.user_id.in_(user_ids))
    return {row.user_id: Account(*row) for row in connection.execute(statement)}


def page(connection: Connection, *, after: str | None, limit: int) -> list[Account]:
    """
    Return accounts that are not deleted, in the order of their IDs.

    Args:
        after: ID of the last account of the previous page.
    """
    statement = sa.select(*_ACCOUNT).where(_columns.deleted_at.is_(None))
    if after is not None:
        statement = statement.where(_columns.user_id > after)
    rows = connection.execute(statement.order_by(_columns.user_id).limit(limit))
    return [Account(*row) for row in rows]


def insert_code(tx: Transaction, code: StoredCode) -> None:
    """Insert a code."""
    tx.execute(
        account_codes.insert().values(
            code_hash=code.code_hash,
            kind=code.kind,
            user_id=code.user_id,
            created_at=code.created_at,
            expires_at=code.expires_at,
        )
    )


def find_code(
    connection: Connection, kind: CodeKind, code_hash: str, now: float
) -> StoredCode | None:
    """Return a code of a kind that was neither used nor has expired."""
    row = connection.execute(
        sa.select(*_CODE).where(_is_usable(kind, code_hash, now))
    ).one_or_none()
    return None if row is None else StoredCode(*row)


def use_code(tx: Transaction, kind: CodeKind, code_hash: str, now: float) -> bool:
    """Mark a code as used. Return false if it was used or has expired: only one request wins."""
    statement = account_codes.update().where(_is_usable(kind, code_hash, now))
    return tx.execute(statement.values(used_at=int(now))).rowcount == 1


def open_invitations(connection: Connection, now: float) -> list[StoredCode]:
    """Return the invitations that were neither used nor have expired, newest first."""
    statement = sa.select(*_CODE).where(_is_open_invitation(now))
    newest_first = statement.order_by(_codes.created_at.desc(), _codes.code_hash)
    return [StoredCode(*row) for row in connection.execute(newest_first)]


def end_invitation(tx: Transaction, hash_prefix: str, now: float) -> StoredCode | None:
    """Mark an invitation as used, and return it. `None` if it was used or has expired."""
    is_it = _is_open_invitation(now) & _codes.code_hash.startswith(hash_prefix, autoescape=True)
    statement = account_codes.update().where(is_it).values(used_at=int(now)).returning(*_CODE)
    row = tx.execute(statement).one_or_none()
    return None if row is None else StoredCode(*row)


def end_reset_codes(tx: Transaction, user_id: str, now: float) -> None:
    """Mark all reset codes of a user as used."""
    is_open = (
        (_codes.user_id == user_id) & (_codes.kind == CodeKind.RESET) & _codes.used_at.is_(None)
    )
    tx.execute(account_codes.update().where(is_open).values(used_at=int(now)))


def end_all_codes(tx: Transaction, now: float) -> None:
    """Mark all codes as used."""
    is_open = _codes.used_at.is_(None)
    tx.execute(account_codes.update().where(is_open).values(used_at=int(now)))


def purge(tx: Transaction, now: float, limit: int) -> int:
    """Delete codes that have expired, used or not, old failures and old addresses."""
    has_expired = _codes.expires_at <= int(now)
    return max(
        delete_batch(tx, account_codes, has_expired, order=_codes.expires_at, limit=limit),
        lock_outs.purge_failures(tx, now, limit),
        lock_outs.purge_addresses(tx, now, limit),
    )


def _is_open_invitation(now: float) -> sa.ColumnElement[bool]:
    return (
        (_codes.kind == CodeKind.INVITATION)
        & _codes.used_at.is_(None)
        & (_codes.expires_at > int(now))
    )


def _is_usable(kind: CodeKind, code_hash: str, now: float) -> sa.ColumnElement[bool]:
    return (
        (_codes.code_hash == code_hash)
        & (_codes.kind == kind)
        & _codes.used_at.is_(None)
        & (_codes.expires_at > int(now))
    )
