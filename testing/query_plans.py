"""The plans of the statements that a store runs."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import sqlalchemy as sa

from testing.database_parts import engine_of
from tokensvc.database.engine import Database


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

    sa.event.listen(engine_of(database), "before_cursor_execute", record)
    try:
        yield plans
    finally:
        sa.event.remove(engine_of(database), "before_cursor_execute", record)


def plan_of(database: Database, use: Callable[[], object]) -> str:
    """Return the plan of the statement that `Database.fetch` runs in a call."""
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    with mock.patch.object(Database, "fetch", autospec=True, side_effect=Database.fetch) as fetch:
        use()
    _, statement, *values = fetch.call_args.args
    compiled = statement.compile(engine_of(database))
    with database.read() as connection:
        cursor = connection.connection.cursor()
        parameters = compiled.construct_params(*values)
        return " ".join(str(row) for row in cursor.execute(f"{explain} {compiled}", parameters))


def reads_all_rows(plan: str) -> bool:
    """Return whether a statement reads a table, or the whole of an index."""
    return "Seq Scan" in plan or "SCAN" in plan
