"""Each file that a page, a docstring or a comment names exists, so that a reader can open it."""

import re
import subprocess
from pathlib import Path

import pytest

from testing.service import ROOT

NAME = re.compile(
    r"`([\w.-]+(?:/[\w.-]+)*\.(?:py|js|ts|md|sh|html|yml|yaml|toml|json|svg|txt|kt|java|swift|dart|h|cpp|cs))`"
)
# Named for the reader's own project, or made by a command: not of this repository.
ELSEWHERE = {"FILE.manifest.json", "org.json", "settings.toml", "tokenProvider.js"}
HISTORY = {Path("CHANGELOG.md")}


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


FILES = tracked_files()
READ = [path for path in FILES if path.suffix in {".py", ".md"} and path not in HISTORY]


def exists(named):
    """Return whether a file of that name, or with that end of its path, is in the repository."""
    parts = Path(named).parts
    return any(path.parts[-len(parts) :] == parts for path in FILES)


@pytest.mark.parametrize("folder", sorted({path.parts[0] for path in READ}))
def test_named_files_exist(folder):
    missing = [
        f"{path}: {named}"
        for path in READ
        if path.parts[0] == folder
        for named in NAME.findall((ROOT / path).read_text("utf-8"))
        if named not in ELSEWHERE and not exists(named)
    ]
    assert missing == []


def test_skill_names_a_file_of_each_example():
    """An agent copies it, and does not write its own."""
    skill = (ROOT / ".agents" / "skills" / "tokensvc" / "SKILL.md").read_text()
    examples = {path.parts[1] for path in FILES if path.match("examples/*/*")}
    assert examples == set(re.findall(r"`examples/(\w+)/", skill))


def test_index_links_each_page_of_docs():
    index = (ROOT / "docs" / "README.md").read_text()
    linked = {path.split("#")[0] for path in re.findall(r"\]\(([^)]+)\)", index)}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= linked
