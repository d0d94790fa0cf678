"""What differs between the kinds of database."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import sqlalchemy as sa

from tokensvc.database.prepared import Run

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Begin: TypeAlias = Callable[[sa.Connection], None]
"""Begins a transaction, or at least uses the connection."""


@dataclass(frozen=True, slots=True)
class Backend:
    """
    The functions of one kind of database.

    Attributes:
        dialect: Name of the dialect.
        begin: Function that begins a transaction that writes.
        begin_snapshot: Function that begins a transaction that only reads.
        is_disconnected: Function that returns whether a driver's connection was disconnected.
        is_connection_failure: Function that returns whether a driver's error is one.
        fetch_rows: Function that runs a query outside any transaction.
        fetch_private_rows: Function that does so with values that no log may contain.
        run_writes: Function that runs statements in a transaction of their own.
        run_early_writes: Function that does so without a wait for the disk.
    """

    dialect: Dialect
    begin: Begin
    begin_snapshot: Begin
    is_disconnected: Callable[[Any], bool]
    is_connection_failure: Callable[[BaseException], bool]
    fetch_rows: Run
    fetch_private_rows: Run
    run_writes: Run
    run_early_writes: Run

    @classmethod
    def of(cls, dialect: Dialect, module: Any, statements: Any) -> Self:
        """
        Return what two modules of this package have for their kind of database.

        Args:
            statements: Module of the functions that run prepared statements.
        """
        return cls(
            dialect,
            module.begin,
            module.begin_snapshot,
            module.is_disconnected,
            module.is_connection_failure,
            statements.fetch_rows,
            statements.fetch_private_rows,
            statements.run_writes,
            statements.run_early_writes,
        )
