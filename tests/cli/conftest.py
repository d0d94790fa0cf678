"""Fixtures for tests of commands."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testing.command_line import Ended, run_command, run_process
from testing.service import settings_environ


@dataclass
class Tokensvc:
    """
    Runs `tokensvc` commands on their own SQLite database.

    Attributes:
        settings: Environment variables of every run, in addition to `settings_environ`.
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | bytes, stdin: str = "", **settings: str) -> Ended:
        return run_command(self.folder, self._environ(settings), *arguments, stdin=stdin)

    def process(self, *arguments: str, **settings: str) -> Ended:
        """Run a command as a separate process, for those that replace or crash their process."""
        return run_process(self.folder, self._environ(settings), *arguments)

    def _environ(self, settings: dict[str, str]) -> dict[str, str]:
        return settings_environ(self.folder, **{**self.settings, **settings})


@pytest.fixture
def tokensvc(tmp_path: Path, migrated_sqlite_url: str) -> Tokensvc:
    """Return the command in a folder with a migrated database."""
    return Tokensvc(tmp_path)
