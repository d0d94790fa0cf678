"""The pages that users read, and their blocks of code."""

import re
import textwrap
from pathlib import Path

from testing.page_snippets import PAGES, ROOT

README = ROOT / "README.md"
FOR_AGENTS = [ROOT / "llms.txt", ROOT / ".agents" / "skills" / "tokensvc" / "SKILL.md"]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


__all__ = ["FOR_AGENTS", "PAGES", "README", "all_blocks", "blocks", "name"]


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a language, in order."""
    return [text for name, text in all_blocks(page) if name == language]


def all_blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each block."""
    return [
        (found["language"], textwrap.dedent(found["text"]))
        for found in _FENCE.finditer(page.read_text())
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))
