"""Each security requirement that is stated as tested has a test that names it."""

import ast
import re
from pathlib import Path

from testing.service import ROOT

ROW = re.compile(r"\| (\d+) \| .+ \| (tested|to come|does not apply) \|")


def stated():
    """Give the state of each requirement, by number."""
    page = (ROOT / "docs/security-requirements.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d", line)]
    found = [ROW.fullmatch(row) for row in rows]
    assert all(found), f"unreadable rows: {[r for r, f in zip(rows, found, strict=True) if not f]}"
    return {int(row[1]): row[2] for row in found}


def marked(path: Path):
    """Give the numbers of the `pytest.mark.sec(…)` in a file."""
    return {
        argument.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.sec"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }


def test_the_list_is_complete():
    """The list holds 65 requirements, each once."""
    assert sorted(stated()) == list(range(1, 66))
    page = (ROOT / "docs/security-requirements.md").read_text()
    assert len(re.findall(r"^\| \d", page, re.MULTILINE)) == 65


def test_every_tested_requirement_has_a_marked_test():
    """A requirement without a test is one that nobody would miss."""
    held = set().union(*(marked(path) for path in (ROOT / "tests").rglob("test_*.py")))
    tested = {number for number, state in stated().items() if state == "tested"}
    assert sorted(tested - held) == []


def test_no_test_marks_a_requirement_that_is_not_stated_as_tested():
    """The list falls behind no test: what has one is stated as tested."""
    states = stated()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for number in marked(path):
            assert states.get(number) == "tested", f"{path.name} marks {number}"
