"""A database that refuses to write a table, as with a full disk."""

from tokensvc.database.engine import Database


def refuse_writes(database: Database, table: str) -> None:
    """Make the database refuse inserts into a table and updates of it."""
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
            "$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'disk_full'; END $$"
        )
        tx.exec_driver_sql(
            f"CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refused()"
        )
