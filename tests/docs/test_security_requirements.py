"""Each security requirement marked as tested has a test with its number."""

import ast
import re
from pathlib import Path

from testing.service import ROOT

ROW = re.compile(r"\| (\d+) \| .+ \| (tested|to come|does not apply) \|")


def stated():
    """Return the state of each requirement, by number."""
    page = (ROOT / "docs/security-requirements.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d", line)]
    found = [ROW.fullmatch(row) for row in rows]
    assert all(found), f"unreadable rows: {[r for r, f in zip(rows, found, strict=True) if not f]}"
    return {int(row[1]): row[2] for row in found}


def marked(path: Path):
    """Return the numbers of `pytest.mark.sec(…)` in a file."""
    return {
        argument.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.sec"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }


def test_number_is_listed_once():
    page = (ROOT / "docs/security-requirements.md").read_text()
    numbers = re.findall(r"^\| (\d+)", page, re.MULTILINE)
    assert sorted({*numbers}) == sorted(numbers)


def test_tested_requirements_have_a_marked_test():
    marks = set().union(*(marked(path) for path in (ROOT / "tests").rglob("test_*.py")))
    tested = {number for number, state in stated().items() if state == "tested"}
    assert sorted(tested - marks) == []


def test_marked_requirements_are_listed_as_tested():
    states = stated()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for number in marked(path):
            assert states.get(number) == "tested", f"{path.name} marks {number}"
