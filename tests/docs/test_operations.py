"""The pages for operators and the tree agree: alerts, tables, events and metrics."""

import re
from pathlib import Path

import pytest
import yaml

from testing.service import ROOT
from testing.tables import all_tables
from tokensvc.audit.rules import Action
from tokensvc.core.scopes import SCOPES

PAGE = (ROOT / "docs/operations.md").read_text()
OPERATORS_PAGES = [
    ROOT / "docs/operations.md",
    *sorted((ROOT / "docs/runbooks").glob("*.md")),
]
SOURCE = "".join(path.read_text() for path in (ROOT / "tokensvc").rglob("*.py"))
METRICS = (ROOT / "docs/metrics.md").read_text()
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())


def section(heading: str) -> str:
    """Return the text of a section."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def table(heading: str) -> list[str]:
    """Return the rows of the first table of a section."""
    tables = re.findall(r"^\|.*\n\| ---.*\n((?:\|.*\n)+)", section(heading), re.MULTILINE)
    return str(tables[0]).splitlines()


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    alerts = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
    assert re.findall(r"^### (\w+)$", section("Alerts"), re.MULTILINE) == alerts


def test_every_outage_names_a_test() -> None:
    rows = table("When a part fails")
    assert {row.split(" | ")[0] for row in rows} >= {
        f"| {part}" for part in ("PostgreSQL", "SQLite", "Redis", "issuer", "Stream")
    }
    assert [row for row in rows if "::test_" not in row.split(" | ")[-1]] == []


def test_page_of_several_machines_names_a_test_for_each_part() -> None:
    page = (ROOT / "docs/high-availability.md").read_text()
    rows = re.findall(r"^\| (?!part |---)(.*) \|$", page.partition("\n## Several")[0], re.MULTILINE)
    assert {row.split(" | ")[0] for row in rows} >= {
        *("instance", "worker", "balancer", "PgBouncer", "primary", "standby", "Redis", "Stream"),
        *("identity provider", "clock", "disk", "descriptors"),
    }
    assert [row for row in rows if "::test_" not in row.split(" | ")[-1]] == []


def test_every_table_of_the_database_is_said_to_grow_or_not() -> None:
    named = [
        name for row in table("What grows") for name in re.findall(r"`(\w+)`", row.split(" | ")[0])
    ]
    assert sorted(named) == sorted(all_tables().tables)


@pytest.mark.parametrize("page", OPERATORS_PAGES, ids=lambda page: page.name)
def test_named_events_and_metrics_exist(page: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text())
    for event in re.findall(r"\blog (?:line|has) `(\w+)`", text):
        assert f'"{event}"' in SOURCE, event
    kinds = {action.partition(":")[0] for action in Action}
    for kind, verb in re.findall(r"`(\w+):(\w+)`", text):
        assert kind not in kinds or f"{kind}:{verb}" in {*Action, *SCOPES}, f"{kind}:{verb}"
    for metric in re.findall(r"`(tokensvc_\w+)", text):
        assert f"`{metric}`" in METRICS, metric
