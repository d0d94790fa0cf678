"""The shell blocks of a page, run one after the other as an operator does."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from testing.shell import run_shell
from tests.docs.pages import blocks


class PageCommands:
    """
    Runs each block of a page, in order. As a context manager, fails if a block was not run.

    Args:
        page: File with the blocks.
        folder: Folder in which they run.
        environ: Variables of the commands; a test may change them.
        replaced: What takes the place of texts of the page, such as addresses and paths.
    """

    def __init__(
        self,
        page: Path,
        folder: Path,
        environ: Mapping[str, str],
        replaced: Mapping[str, str],
    ) -> None:
        self._page = page.name
        self._blocks = blocks(page, "sh")
        self._folder = folder
        self.environ = environ
        self._replaced = replaced

    def run(self, first: str, status: int = 0, stdin: str = "", **names: str) -> str:
        """
        Run the next block, and return what it printed.

        Args:
            first: Text with which the block begins.
            status: Exit status that the page says.
            stdin: What the operator enters.
            names: Values of names in capitals that an operator replaces, such as `KEY_ID`.
        """
        script = self._blocks.pop(0)
        assert script.startswith(first), f"{self._page}: the next block is {script}"
        for text, value in {**self._replaced, **names}.items():
            script = re.sub(rf"(?<![\w-]){re.escape(text)}", value, script)
        ended = run_shell(script, self._folder, stdin, **self.environ)
        printed = ended.stdout + ended.stderr
        assert ended.returncode == status, f"{self._page}: {script}\n{printed}"
        return printed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            assert self._blocks == [], f"{self._page}: blocks that were not run"
