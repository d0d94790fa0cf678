"""
Remove lines that keep a promise, and show that a test fails without each of them.

A run copies the tree, changes one line of the copy and runs the test of the promise, which must
fail. Without a change all these tests must pass in the copy.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testing.service import ROOT

PASSED, FAILED = 0, 1
"""Exit codes of pytest. Any other code means that the test did not run."""

_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "node_modules", "var", "dist"
)
_TIMEOUT = 900
"""Maximum seconds of a run of tests."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """
    A change that breaks a promise.

    Attributes:
        name: Name of the removed line, as in `docs/security-model.md`.
        file: Path of the changed file.
        old: Text that the file contains once.
        new: Text that replaces it.
        test: ID of the test that fails then.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


def is_noticed(tree: Path, ablation: Ablation) -> bool:
    """Change the line, return whether the test fails, and restore the line."""
    file = tree / ablation.file
    before = file.read_text()
    assert before.count(ablation.old) == 1, f"{ablation.name}: the file must contain the line once"
    file.write_text(before.replace(ablation.old, ablation.new))
    try:
        return run(tree, [ablation.test], expected=FAILED)
    finally:
        file.write_text(before)


def run(tree: Path, tests: Iterable[str], *, expected: int) -> bool:
    """Run tests of a tree. Return whether pytest ends with the expected code; if not, show why."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *sorted({*tests})],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if ended.returncode != expected:
        sys.stderr.write(ended.stdout[-4000:] + ended.stderr[-1000:])
    return ended.returncode == expected


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Yield a copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="tokensvc-ablation-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=_NOT_COPIED)
        yield tree
