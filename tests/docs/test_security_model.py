"""`docs/security-model.md` and the tree agree: its lines and its proofs exist."""

import re

import pytest

from testing.runs import PROOFS, ablation
from testing.runs.ablation import Ablation
from testing.runs.ablations import ABLATIONS
from testing.service import ROOT
from tests.docs.test_named_things import functions

PAGE = (ROOT / "docs/security-model.md").read_text()


def rows(section: str) -> list[str]:
    """Return the rows of a section's table."""
    lines = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0].splitlines()
    return [line for line in lines if line.startswith("| ")][2:]


def test_every_promise_names_a_test() -> None:
    promises = rows("What is promised")
    assert promises
    assert [row for row in promises if "::test_" not in row] == []


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name)
def test_line_of_an_ablation_exists_once(ablation: Ablation) -> None:
    """And its test exists."""
    assert (ROOT / ablation.file).read_text().count(ablation.old) == 1
    path, name = ablation.test.split("::")
    assert name.partition("[")[0] in functions(path)


def test_page_explains_the_line_of_each_ablation() -> None:
    stated = [tuple(row.split(" | ")[:2]) for row in rows("What it rests on")]
    assert sorted(stated) == sorted((f"| {item.name}", f"`{item.file}`") for item in ABLATIONS)


def test_page_lists_all_proofs() -> None:
    assert re.findall(r"\| `python -m proofs\.(\w+)` \|", PAGE) == list(PROOFS)
    for name in PROOFS:
        assert (ROOT / "proofs" / f"{name}.py").exists()


def test_removed_line_fails_its_test() -> None:
    """One ablation as an example. Its file is restored after it."""
    (floor,) = [item for item in ABLATIONS if item.name == "floor"]
    with ablation.copied_tree() as tree:
        assert ablation.run(tree, [floor.test], expected=ablation.PASSED)
        before = (tree / floor.file).read_bytes()
        assert ablation.is_noticed(tree, floor)
        assert (tree / floor.file).read_bytes() == before
