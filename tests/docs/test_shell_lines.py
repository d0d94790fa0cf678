"""Each shell line of README and `docs/` runs, top to bottom, in one shell."""

import re
import signal
import sys
from pathlib import Path

import pytest

from testing.command_line import SCRIPT
from testing.doubles.stream import StreamDouble
from testing.service import ROOT, free_port
from testing.shell import make_run, run_shell, write_warm_script
from tests.docs.pages import PAGES, README, all_blocks, blocks, name
from tokensvc.accounts.passwords import argon2_build

pytestmark = pytest.mark.slow

BACKUP = ROOT / "docs" / "backup.md"
RUNBOOKS = ROOT / "docs" / "runbooks"
"""Their lines need an emergency: see `test_runbooks.py`."""
PAIR = {"STREAM_API_KEY": "first-key", "STREAM_API_SECRET": "secret-of-the-first-key-0123456789"}
NEW_PAIR = {"second-key": "secret-of-the-second-key-0123456789"}
SHOWN = {
    "your-stream-key": PAIR["STREAM_API_KEY"],
    "the-secret-that-streams-dashboard-shows": PAIR["STREAM_API_SECRET"],
    "your-new-stream-key": "second-key",
    "the-new-secret-that-streams-dashboard-shows": NEW_PAIR["second-key"],
}
"""What an operator writes in place of what the pages show, which the service refuses."""
NOT_HERE = ("cosign", "docker", "git", "helm", "kubectl")
"""Commands that no test can run, or that publish."""


def make_checkout(folder):
    """Put into a folder what a checkout has."""
    names = (
        "LICENSE",
        "README.md",
        "clients",
        "deploy",
        "hatch_build.py",
        "llms.txt",
        "openapi.yaml",
        "pyproject.toml",
        "tokensvc",
    )
    for file in names:
        (folder / file).symlink_to(ROOT / file)
    for lock in ROOT.glob("requirements*.lock"):
        (folder / lock.name).symlink_to(lock)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for target in (*Path(sys.prefix).iterdir(), *Path(sys.prefix, "bin").iterdir()):
        link = folder / ".venv" / target.relative_to(sys.prefix)
        if target.name not in {"bin", "tokensvc"}:
            link.symlink_to(target)
    write_warm_script(binaries / "tokensvc", SCRIPT)


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
    """Yield a Stream with the key pairs of the pages."""
    with StreamDouble({PAIR["STREAM_API_KEY"]: PAIR["STREAM_API_SECRET"], **NEW_PAIR}) as double:
        yield double


def shell_lines(pages):
    """Return the blocks of pages with the name of each page, without the first one."""
    return [
        f"printf '%s\\n' '{name(page)}'\n{block}"
        for page in pages
        for block in blocks(page, "sh")
        if block != "make run\n"
    ]


def check_succeed(lines, folder, bind, stream):
    """Run blocks in one shell, and return what they printed."""
    script = "\n".join(lines)
    for shown, value in {"127.0.0.1:8000": bind, **SHOWN}.items():
        script = script.replace(shown, value)
    # `serve` would run until it is stopped. With this option gunicorn only loads the application.
    options = {"GUNICORN_CMD_ARGS": "--check-config"}
    ended = run_shell(script, folder, STREAM_BASE_URL=stream.url, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "FAIL" not in ended.stdout
    assert "request_id" not in ended.stdout, "a response is a problem"
    return ended.stdout


def test_first_shell_block_is_make_run():
    """Other tests run the commands that it prints."""
    assert blocks(README, "sh")[0] == "make run\n"


def test_shell_lines_of_all_pages_run_in_one_shell(checkout, stream):
    """In a checkout with `make run` in another terminal. No line changes what a later one does."""
    pages = [page for page in PAGES if page != BACKUP and page.parent != RUNBOOKS]
    which = f"venv/bin/python -c 'from {argon2_build.__name__} import *; print(describe_build())'"
    printed = check_succeed([*shell_lines(pages), which], *checkout, stream)
    runs_v3 = argon2_build.can_run_v3(Path("/proc/cpuinfo").read_text())
    assert printed.endswith("the build for x86-64-v3\n") is runs_v3
    assert tracked_secrets(checkout[0]) == []


def tracked_secrets(folder):
    """Return the files with a secret that git would track: it ignores `var/` and `.venv`."""
    written = [
        path
        for top in folder.iterdir()
        if top.name not in {"var", "venv", ".venv"} and not top.is_symlink()
        for path in (top.rglob("*") if top.is_dir() else [top])
        if path.is_file() and not path.is_symlink()
    ]
    secrets = [secret.encode() for secret in (*NEW_PAIR.values(), PAIR["STREAM_API_SECRET"])]
    return [
        path.name
        for path in written
        if path.suffix == ".key" or any(secret in path.read_bytes() for secret in secrets)
    ]


def test_commands_for_development_work_with_each_stream_key(tmp_path, stream):
    """After another start without a key, and in a terminal without the key."""
    make_checkout(tmp_path)
    bind = f"127.0.0.1:{free_port()}"
    with make_run(tmp_path, bind) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with make_run(tmp_path, bind, STREAM_BASE_URL=stream.url, **PAIR):
        lines = [line for line in shell_lines(PAGES) if "var/development" in line]
        assert lines
        check_succeed(lines, tmp_path, bind, stream)


def test_lines_about_backup_run_while_the_service_is_stopped(tmp_path, stream):
    """In a folder of backups, with the settings that the service has."""
    make_checkout(tmp_path)
    (tmp_path / "backups").mkdir()
    with make_run(tmp_path, f"127.0.0.1:{free_port()}") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    lines = [line.replace("/backups", f"{tmp_path}/backups") for line in shell_lines([BACKUP])]
    assert lines
    before = (
        "export TOKENSVC_CONFIG=var/development/settings.toml",
        "tokensvc audit --json > audit.jsonl",
    )
    check_succeed([*before, *lines], tmp_path, "127.0.0.1:8000", stream)


def test_example_with_curl_reaches_its_end(checkout):
    """`examples/curl.sh` stops at the first response that it does not expect."""
    folder, bind = checkout
    ended = run_shell(f"sh {ROOT}/examples/curl.sh", folder, URL=f"http://{bind}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    codes = re.findall(r'"code":"(\w+)"', ended.stdout)
    assert codes == ["sign_in_required", "user_suspended", "sign_in_required"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_is_in_a_block_that_a_test_runs(page):
    """Only blocks with commands that no test can run are `console`."""
    languages = {language for language, _ in all_blocks(page)}
    assert not languages & {"bash", "shell", "zsh"}
    for block in blocks(page, "console"):
        for command in re.findall(r"^\$ (\w+)", block, re.MULTILINE):
            assert command in NOT_HERE, command
    for block in blocks(page, ""):
        assert not re.search(r"^(\$ |curl |\.venv/|tokensvc |docker |make )", block, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_line_is_a_comment(page):
    """An interactive zsh runs it as a command."""
    for block in [*blocks(page, "sh"), *blocks(page, "console")]:
        assert not re.search(r"^\s*#", block, re.MULTILINE), block


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_line_exports_a_variable(page):
    """A reader's shell is as before: each command works in any shell, in any order of sections."""
    for block in blocks(page, "sh"):
        assert not re.search(r"^\s*(export |[A-Z_]+=\S*$)", block, re.MULTILINE), block
