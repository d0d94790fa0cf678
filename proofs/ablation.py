"""
Each line that keeps a promise is missed by a test when it is gone: `python -m proofs.ablation`.

The tree is copied, one line of the copy is changed, and the test that names the promise is run: it
must fail. Before that all these tests must pass in the copy as it is.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proofs.ablations import ABLATIONS, Ablation

ROOT = Path(__file__).resolve().parent.parent
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "node_modules", "var", "dist"
)
_PATIENCE = 900
"""Seconds that a run of tests may take."""
_FAILED, _PASSED = 1, 0
"""Exit codes of pytest; any other means that the test was not run."""


def main() -> int:
    """Try each, print what came of it; 1 when a change goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m proofs.ablation", description=__doc__)
    parser.add_argument("names", nargs="*", help="of what is taken away; everything by default")
    names = parser.parse_args().names
    chosen = [each for each in ABLATIONS if each.name in names or not names]
    with copied_tree() as tree:
        if not run(tree, [each.test for each in chosen], expected=_PASSED):
            print("The tests do not pass as it is: nothing was tried.")
            return 1
        noticed = 0
        for each in chosen:
            is_noticed = try_one(tree, each)
            noticed += is_noticed
            print(
                f"{'missed' if is_noticed else 'NOT MISSED'}: {each.name}, {each.test}", flush=True
            )
    print(f"ablation: {noticed} of {len(chosen)} lines are missed by their tests")
    return 0 if noticed == len(chosen) else 1


def try_one(tree: Path, ablation: Ablation) -> bool:
    """Make the change, tell whether the test notices, and take the change back."""
    file = tree / ablation.file
    before = file.read_text()
    assert before.count(ablation.old) == 1, f"{ablation.name}: the line is not there once"
    file.write_text(before.replace(ablation.old, ablation.new))
    try:
        return run(tree, [ablation.test], expected=_FAILED)
    finally:
        file.write_text(before)


def run(tree: Path, tests: Iterable[str], *, expected: int) -> bool:
    """Run tests of a tree, and tell whether they end as expected; if not, show how they did."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *sorted({*tests})],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if ended.returncode != expected:
        print(ended.stdout[-4000:], ended.stderr[-1000:], file=sys.stderr)
    return ended.returncode == expected


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Give a copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="tokensvc-ablation-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=_NOT_COPIED)
        yield tree


if __name__ == "__main__":
    sys.exit(main())
