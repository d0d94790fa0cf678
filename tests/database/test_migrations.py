"""Migrations of databases with data of the previous version."""

import pytest
import sqlalchemy as sa

from tokensvc.database import schema
from tokensvc.database.tables import deliveries

COLUMNS = "kind, subject, version, applied_version, state, due_at, attempts, updated_at"


@pytest.fixture
def at_0002(empty_database, monkeypatch):
    """Return a database of revision 0002 with deliveries."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "head", lambda: "0002")
        schema.migrate(empty_database)
    with empty_database.write() as tx:
        for number, state in enumerate(("pending", "applied", "moot")):
            row = f"'user', 'u{number}', {number + 3}, 2, '{state}', 100, 4, 90"
            tx.exec_driver_sql(f"INSERT INTO deliveries ({COLUMNS}) VALUES ({row})")
    return empty_database


def test_moot_deliveries_become_obsolete(at_0002):
    """All columns stay; only the state's name changes, in the constraint too."""
    assert schema.migrate(at_0002)[-1] == schema.head()
    with at_0002.read() as connection:
        names = [deliveries.c[name.strip()] for name in COLUMNS.split(",")]
        rows = connection.execute(sa.select(*names).order_by(deliveries.c.subject)).all()
    assert rows == [
        ("user", "u0", 3, 2, "pending", 100, 4, 90),
        ("user", "u1", 4, 2, "applied", 100, 4, 90),
        ("user", "u2", 5, 2, "obsolete", 100, 4, 90),
    ]
    with pytest.raises(sa.exc.IntegrityError), at_0002.write() as tx:
        tx.execute(deliveries.update().values(state="moot"))
