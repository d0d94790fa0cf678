"""What the README says is so: its shell lines run, its settings load, its tables are the code's."""

import json
import re
import sys

import pytest

from testing.doubles.stream import StreamDouble
from testing.service import ROOT, free_port
from testing.shell import make_run, run_shell
from tokensvc.config.loader import load
from tokensvc.core.errors import Code
from tokensvc.http.problems import STATUS_AND_TITLE

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


SHELL_BLOCKS = blocks("sh")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Give a folder like a checkout in which `make run` runs, and its address."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("LICENSE", "README.md", "openapi.yaml", "pyproject.toml", "tokensvc"):
        (folder / name).symlink_to(ROOT / name)
    for lock in ROOT.glob("requirements*.lock"):
        (folder / lock.name).symlink_to(lock)
    (folder / ".venv").symlink_to(sys.prefix)
    bind = f"127.0.0.1:{free_port()}"
    with make_run(folder, bind):
        yield folder, bind


@pytest.fixture(scope="module")
def stream():
    """Give a Stream that knows the pair of the README."""
    pair = {"your-stream-key": "the-secret-that-streams-dashboard-shows"}
    with StreamDouble(pair) as double:
        yield double


def test_the_first_block_is_make_run():
    """The first thing that a newcomer types is the command whose lines have tests of their own."""
    assert SHELL_BLOCKS[0] == "make run\n"


@pytest.mark.parametrize("block", SHELL_BLOCKS[1:], ids=lambda block: block.splitlines()[0][:40])
def test_a_shell_block_runs(checkout, stream, block):
    """Each block runs from top to bottom in a checkout with `make run` beside it."""
    folder, bind = checkout
    script = block.replace("127.0.0.1:8000", bind)
    # The last line of a deployment runs for ever; with this option gunicorn loads all and ends.
    script = re.sub(r"^(.*/gunicorn .*)$", r"\1 --check-config", script, flags=re.MULTILINE)
    ended = run_shell(script, folder, STREAM_BASE_URL=stream.url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "FAIL" not in ended.stdout
    assert "request_id" not in ended.stdout, "a problem document is no answer"


def test_the_answer_is_of_this_shape(checkout):
    """The answer that is shown has the members of a real one."""
    folder, bind = checkout
    (line,) = [part for part in SHELL_BLOCKS[1].split("\n\n") if "svc.demo" in part]
    answer = json.loads(run_shell(line.replace("127.0.0.1:8000", bind), folder).stdout)
    (shown,) = blocks("json")
    assert list(json.loads(shown)) == list(answer)


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.splitlines()[0])
def test_the_settings_load(tmp_path, block):
    """Each block of settings has no fault, beside the variables that the text asks for."""
    (tmp_path / "tokensvc.toml").write_text(block)
    given = {"public_url": "https://tokens.example.com", "STREAM_API_SECRET": "s" * 40}
    environ = {"TOKENSVC_CONFIG": str(tmp_path / "tokensvc.toml")}
    if "public_url" not in block:
        environ["TOKENSVC_PUBLIC_URL"] = given["public_url"]
    if "[stream]" in block:
        environ["STREAM_API_SECRET"] = given["STREAM_API_SECRET"]
    assert len(load(environ).issuers) == 1


def test_the_table_of_codes_is_the_codes():
    """Every code stands in the table with its status, in the code's order, and has advice."""
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \|$", README, re.MULTILINE)
    assert [(int(status), Code(code)) for status, code, _ in rows] == [
        (status, code) for code, (status, _) in STATUS_AND_TITLE.items()
    ]
    assert all(advice.endswith(".") for _, _, advice in rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every link to a file of this repository has a file at its end."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """A path in backticks that looks like one of ours is one."""
    folders = "tokensvc|tests|docs|deploy|examples|bench|" + "|".join(
        path.name for path in (ROOT / "tokensvc").iterdir() if path.is_dir()
    )
    for name in re.findall(rf"`((?:{folders})/[\w./-]+\.(?:py|md|js|yaml))`", page.read_text()):
        assert any((base / name).exists() for base in (ROOT, ROOT / "tokensvc")), name
