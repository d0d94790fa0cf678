"""The commands, run as an operator runs them."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testing.command_line import Ended, run_command, run_process
from testing.service import settings_environ


@dataclass
class Tokensvc:
    """
    Runs `tokensvc` on a SQLite database of its own.

    Attributes:
        settings: Environment variables of every run, beside those of `settings_environ`.
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | bytes, stdin: str = "", **settings: str) -> Ended:
        return run_command(self.folder, self._environ(settings), *arguments, stdin=stdin)

    def process(self, *arguments: str, **settings: str) -> Ended:
        """Run a command in a process of its own: one that stays, or whose end is the point."""
        return run_process(self.folder, self._environ(settings), *arguments)

    def _environ(self, settings: dict[str, str]) -> dict[str, str]:
        return settings_environ(self.folder, **self.settings, **settings)


@pytest.fixture
def tokensvc(tmp_path: Path) -> Tokensvc:
    return Tokensvc(tmp_path)
