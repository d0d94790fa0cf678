"""The plans of the statements that a store runs."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Database
from tokensvc.database.prepared import PreparedStatements


@contextlib.contextmanager
def recorded_plans(database: Database) -> Iterator[list[str]]:
    """Yield a list that gets the plan of each query and deletion of the block, in their order."""
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    plans: list[str] = []

    def record(
        _: Any, cursor: Any, statement: str, parameters: Any, __: Any, is_repeated: bool
    ) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            first = parameters[0] if is_repeated else parameters
            rows = cursor.connection.cursor().execute(f"{explain} {statement}", first)
            plans.append(" ".join(str(row) for row in rows))

    sa.event.listen(database._engine, "before_cursor_execute", record)
    try:
        yield plans
    finally:
        sa.event.remove(database._engine, "before_cursor_execute", record)


def plan_of(database: Database, read: PreparedStatements, values: Mapping[str, object]) -> str:
    """Return the plan of a prepared read."""
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    with database.read() as connection:
        cursor = connection.connection.cursor()
        (sql,), constants = read.compile()
        rows = cursor.execute(f"{explain} {sql}", {**constants, **values})
        return " ".join(str(row) for row in rows)


def reads_all_rows(plan: str) -> bool:
    """Return whether a statement reads a table, or the whole of an index."""
    return "Seq Scan" in plan or "SCAN" in plan
