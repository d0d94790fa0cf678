"""What the security model says is so: its tests exist, its lines are tried, its proofs run."""

import ast
import re

import pytest

from proofs import ablation
from proofs.__main__ import PROOFS
from proofs.ablations import ABLATIONS, Ablation
from testing.service import ROOT

PAGE = (ROOT / "docs/security-model.md").read_text()
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def functions(path: str) -> set[str]:
    """Give the names of a file's functions."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def rows(section: str) -> list[str]:
    """Give the rows of a section's table."""
    lines = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0].splitlines()
    return [line for line in lines if line.startswith("| ")][2:]


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_each_promise_has_its_test(path: str, name: str) -> None:
    """The test that a promise names is there."""
    assert name in functions(path)


def test_every_promise_names_a_test() -> None:
    """No row of the table of promises is without one."""
    promises = rows("What is promised")
    assert len(promises) > 10
    assert [row for row in promises if "::test_" not in row] == []


@pytest.mark.parametrize("each", ABLATIONS, ids=lambda each: each.name)
def test_each_line_that_is_tried_is_there(each: Ablation) -> None:
    """It stands in its file once; its test exists; the page tells why it is needed."""
    assert (ROOT / each.file).read_text().count(each.old) == 1
    path, name = each.test.split("::")
    assert name.partition("[")[0] in functions(path)
    assert f"| {each.name.partition(',')[0]} | `" in PAGE


def test_no_line_is_only_claimed() -> None:
    """Each line of the page is one that is tried."""
    stated = {row.split(" | ")[0].strip("| ") for row in rows("What it rests on")}
    assert stated == {each.name.partition(",")[0] for each in ABLATIONS}


def test_proofs_are_those_of_the_page() -> None:
    """The page lists what `python -m proofs` runs, and each is there."""
    assert re.findall(r"\| `python -m proofs\.(\w+)` \|", PAGE) == list(PROOFS)
    for name in PROOFS:
        assert (ROOT / "proofs" / f"{name}.py").exists()


def test_a_line_that_is_gone_is_missed() -> None:
    """One of them is tried for real: the copy is changed, its test fails, the copy is as before."""
    (floor,) = [each for each in ABLATIONS if each.name == "floor"]
    with ablation.copied_tree() as tree:
        assert ablation.run(tree, [floor.test], expected=0)
        assert ablation.try_one(tree, floor)
        assert ablation.run(tree, [floor.test], expected=0)
