"""
The previous release, whose code runs next to that of this checkout.

Before the first release it is the commit before the last migration: an upgrade always has one.
It runs with the packages of this checkout.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from testing.service import ROOT
from tokensvc.database import schema

_MIGRATIONS = "tokensvc/database/migrations/versions"


@dataclass(frozen=True, slots=True)
class PreviousRelease:
    """
    The code of the previous release.

    Attributes:
        folder: Folder with its package.
    """

    folder: Path

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command of Python that make it use this code."""
        return ("env", "-C", str(self.folder), f"PYTHONPATH={self.folder}")


def find_commit() -> str | None:
    """
    Return the newest release tag in the history whose code differs, or a commit before the first.

    Returns:
        `None` in a clone without history and in a source distribution.
    """
    if _git("rev-parse", "--show-toplevel") != str(ROOT):
        return None
    for tag in (_git("tag", "--merged", "HEAD", "--sort=-v:refname", "v[0-9]*") or "").split():
        if _git("diff", "--quiet", tag, "--", "tokensvc") is None:
            return tag
    path = f"{_MIGRATIONS}/{schema.head()}_*.py"
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", path)
    parent = f"{added}^" if added else "HEAD"  # a migration that is not committed yet
    return _git("rev-parse", "--verify", "--quiet", f"{parent}^{{commit}}")


def check_out(commit: str, folder: Path) -> PreviousRelease:
    """Write the code of a commit to a folder."""
    archive = subprocess.run(
        ["git", "archive", commit, "tokensvc"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive.stdout, check=True)
    return PreviousRelease(folder)


def _git(*arguments: str) -> str | None:
    """Return the output of a command; `None` if it fails."""
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return ended.stdout.strip()
