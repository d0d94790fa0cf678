"""The console script, run as an operator runs it."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from testing.service import settings_environ

SCRIPT = Path(sys.executable).with_name("tokensvc")


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Tokensvc:
    """
    Runs `tokensvc` on a SQLite database of its own.

    Attributes:
        settings: Environment variables of every run, beside those of `settings_environ`.
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str = "", **settings: str) -> Ended:
        ended = subprocess.run(
            [SCRIPT, *arguments],
            cwd=self.folder,
            env=settings_environ(self.folder, **self.settings, **settings),
            input=stdin.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@pytest.fixture
def tokensvc(tmp_path: Path) -> Tokensvc:
    return Tokensvc(tmp_path)
