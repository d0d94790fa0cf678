"""A database that refuses to write a table, as one does whose disk is full."""

from tokensvc.database.engine import Database


def refuse_writes(database: Database, table: str) -> None:
    """Let the database refuse new rows of a table, and changes of old ones."""
    with database.write() as tx:
        if database.dialect == "sqlite":
            for event in ("INSERT", "UPDATE"):
                tx.exec_driver_sql(
                    f"CREATE TRIGGER refused_{event} BEFORE {event} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
            return
        tx.exec_driver_sql(
            "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'refused'; END $$"
        )
        tx.exec_driver_sql(
            f"CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refused()"
        )
