"""`docs/operations.md` and the tree agree: its tables of the database are all of them."""

import re

from testing.service import ROOT
from tokensvc.database.tables import metadata

PAGE = (ROOT / "docs/operations.md").read_text()


def section(heading: str) -> str:
    """Return the text of a section."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_every_table_of_the_database_is_said_to_grow_or_not() -> None:
    (table,) = re.findall(
        r"^\| table .*\n\| ---.*\n((?:\|.*\n)+)", section("What grows"), re.MULTILINE
    )
    named = [
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])
    ]
    assert sorted(named) == sorted(metadata.tables)
