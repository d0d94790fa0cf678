"""The README is correct: its commands run, and its settings load."""

import json
import re
import signal
import sys

import pytest

from testing.doubles.stream import StreamDouble
from testing.service import ROOT, free_port
from testing.shell import make_run, run_shell
from tokensvc.config.loader import load

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


SHELL_BLOCKS = blocks("sh")


PAIR = {
    "STREAM_API_KEY": "your-stream-key",
    "STREAM_API_SECRET": "the-secret-that-streams-dashboard-shows",
}
NEW_PAIR = {"your-new-stream-key": "the-new-secret-that-streams-dashboard-shows"}


def make_checkout(folder):
    """Put into a folder what a checkout has."""
    for name in ("LICENSE", "README.md", "openapi.yaml", "pyproject.toml", "tokensvc"):
        (folder / name).symlink_to(ROOT / name)
    for lock in ROOT.glob("requirements*.lock"):
        (folder / lock.name).symlink_to(lock)
    (folder / ".venv").symlink_to(sys.prefix)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Yield a folder in which `make run` runs, and the address of the service."""
    folder = tmp_path_factory.mktemp("checkout")
    make_checkout(folder)
    bind = f"127.0.0.1:{free_port()}"
    with make_run(folder, bind):
        yield folder, bind


@pytest.fixture(scope="module")
def stream():
    """Yield a Stream with the key pairs of the README."""
    with StreamDouble({PAIR["STREAM_API_KEY"]: PAIR["STREAM_API_SECRET"], **NEW_PAIR}) as double:
        yield double


def test_first_shell_block_is_make_run():
    """Other tests run the commands that it prints."""
    assert SHELL_BLOCKS[0] == "make run\n"


@pytest.mark.parametrize("block", SHELL_BLOCKS[1:], ids=lambda block: block.splitlines()[0][:40])
def test_shell_block_succeeds(checkout, stream, block):
    """In a checkout with `make run` in another terminal."""
    check_succeeds(block, *checkout, stream)


def test_commands_for_development_work_with_each_stream_key(tmp_path, stream):
    """After another start without a key, and in a terminal without the key."""
    make_checkout(tmp_path)
    bind = f"127.0.0.1:{free_port()}"
    with make_run(tmp_path, bind) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with make_run(tmp_path, bind, STREAM_BASE_URL=stream.url, **PAIR):
        blocks = [block for block in SHELL_BLOCKS if "var/development" in block]
        assert len(blocks) == 5
        for block in blocks:
            check_succeeds(block, tmp_path, bind, stream)


def check_succeeds(block, folder, bind, stream):
    """Run a block of the README."""
    script = block.replace("127.0.0.1:8000", bind)
    # gunicorn would run until it is stopped. With this option it only loads the application.
    script = re.sub(r"^(.*/gunicorn .*)$", r"\1 --check-config", script, flags=re.MULTILINE)
    ended = run_shell(script, folder, STREAM_BASE_URL=stream.url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "FAIL" not in ended.stdout
    assert "request_id" not in ended.stdout, "the response is a problem"


def test_shown_response_has_the_members_of_a_real_one(checkout):
    folder, bind = checkout
    (line,) = [part for part in SHELL_BLOCKS[1].split("\n\n") if "svc.demo" in part]
    response = json.loads(run_shell(line.replace("127.0.0.1:8000", bind), folder).stdout)
    (shown,) = blocks("json")
    assert list(json.loads(shown)) == list(response)


def test_example_with_curl_reaches_its_end(checkout):
    """`examples/curl.sh` stops at the first response that it does not expect."""
    folder, bind = checkout
    ended = run_shell(f"sh {ROOT}/examples/curl.sh", folder, URL=f"http://{bind}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    codes = re.findall(r'"code":"(\w+)"', ended.stdout)
    assert codes == ["sign_in_required", "user_suspended", "sign_in_required"]


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.splitlines()[0])
def test_settings_block_loads(tmp_path, block):
    """With the variables that the text requires."""
    (tmp_path / "tokensvc.toml").write_text(block)
    given = {"public_url": "https://tokens.example.com", "STREAM_API_SECRET": "s" * 40}
    environ = {"TOKENSVC_CONFIG": str(tmp_path / "tokensvc.toml")}
    if "public_url" not in block:
        environ["TOKENSVC_PUBLIC_URL"] = given["public_url"]
    if "[stream]" in block:
        environ["STREAM_API_SECRET"] = given["STREAM_API_SECRET"]
    settings = load(environ)
    assert settings.issuers or settings.has_accounts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_are_valid(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    folders = "tokensvc|testing|tests|proofs|docs|deploy|examples|bench|" + "|".join(
        path.name for path in (ROOT / "tokensvc").iterdir() if path.is_dir()
    )
    for name in re.findall(rf"`((?:{folders})/[\w./-]+\.(?:py|md|js|yaml))`", page.read_text()):
        assert any((base / name).exists() for base in (ROOT, ROOT / "tokensvc")), name
