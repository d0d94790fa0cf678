"""
The code blocks of the pages that are copied from files of `examples/`.

A comment before a block names its file, and a part of it between `begin` and `end`:
`<!-- examples/kotlin/TokenService.kt#provider -->`. `python -m testing.page_snippets` writes the
blocks.
"""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?P<mark><!-- (?P<file>examples/[^#\s]+)(?:#(?P<part>[\w-]+))? -->\n```\w*\n)"
    r".*?(?P<end>^```$)",
    re.MULTILINE | re.DOTALL,
)


def snippet(file: Path, part: str | None) -> str:
    """
    Return the text of a file, or of each section of it with the name `part`.

    Raises:
        ValueError: The file has no such part.
    """
    text = file.read_text()
    if part is None:
        return text
    sections = re.findall(
        rf"^[ \t]*// begin {part}\n(.*?)^[ \t]*// end {part}$", text, re.MULTILINE | re.DOTALL
    )
    if not sections:
        raise ValueError(f"{file} has no part {part}")
    return "\n".join(textwrap.dedent(section) for section in sections)


def snippets(page: str) -> list[tuple[str, str | None]]:
    """Return the files and parts that a page names."""
    return [(found["file"], found["part"]) for found in _BLOCK.finditer(page)]


def with_snippets(page: str) -> str:
    """Return the page with each block as in its file."""
    return _BLOCK.sub(
        lambda found: found["mark"] + snippet(ROOT / found["file"], found["part"]) + found["end"],
        page,
    )


def main() -> None:
    """Write the blocks of all pages."""
    for page in PAGES:
        page.write_text(with_snippets(page.read_text()))


if __name__ == "__main__":
    main()
