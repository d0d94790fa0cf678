"""
The tables of `docs/metrics.md`, compared with the metrics of the source.

`python -m tests.docs.test_metrics_table` prints the table of metrics as it must be.
"""

import re

from testing.metric_definitions import definitions
from testing.service import ROOT

PAGE = ROOT / "docs" / "metrics.md"
HEAD = "| metric | type | labels | meaning |"


def expected_rows() -> list[str]:
    """Return one row per metric of the source."""
    return [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{name}`' for name in metric.labels)} "
        f"| {metric.meaning} |"
        for metric in definitions()
    ]


def page_rows(head: str) -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert head in lines, f"the page has no table: {head}"
    start = lines.index(head) + 2
    end = next((n for n, line in enumerate(lines[start:], start) if not line.startswith("|")), None)
    return lines[start:end]


def test_page_lists_every_metric_of_the_source() -> None:
    assert page_rows(HEAD) == expected_rows()


def test_page_gives_the_values_of_every_label() -> None:
    rows = page_rows("| label | values |")
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert listed == {label for metric in definitions() for label in metric.labels}


if __name__ == "__main__":
    print("\n".join([HEAD, "| --- | --- | --- | --- |", *expected_rows()]))  # noqa: T201 - its purpose
