"""`testing/` is shared; the folders that use it do not import each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.service import ROOT

ALLOWED = {
    "tokensvc": {"tokensvc"},
    "testing": {"tokensvc", "testing"},
    "tests": {"tokensvc", "testing", "tests"},
    "proofs": {"tokensvc", "testing", "proofs"},
    "bench": {"tokensvc", "testing", "bench"},
}


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


@pytest.mark.parametrize("folder", ALLOWED)
def test_folder_imports_only_allowed_folders(folder: str) -> None:
    forbidden = ALLOWED.keys() - ALLOWED[folder]
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    assert [str(file) for file in files if forbidden & {*imports(file)}] == []
