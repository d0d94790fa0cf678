"""The encryption key that is created once next to a SQLite file."""

import stat
import subprocess
import sys

import pytest

from testing.service import ROOT
from tokensvc.core.errors import StartupError
from tokensvc.keys.key_file import load_or_make_key_file
from tokensvc.keys.vault import Vault


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "tokensvc.db.key"


def test_key_file_is_private_and_created_once(path):
    key = load_or_make_key_file(path)
    assert Vault([key]).unwrap(Vault([key]).wrap(b"secret")[0]) == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_key_file(path) == key
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_existing_key_file_is_not_overwritten(path):
    """Not even an invalid one: secrets may be wrapped with what it contained."""
    path.parent.mkdir()
    path.write_text("not a key\n")
    path.chmod(0o400)
    with pytest.raises(StartupError, match=r"tokensvc\.db\.key is damaged"):
        load_or_make_key_file(path)
    assert path.read_text() == "not a key\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_processes_that_start_simultaneously_share_one_key(path):
    code = (
        "import sys, pathlib; from tokensvc.keys.key_file import load_or_make_key_file;"
        "sys.stdin.read(); print(load_or_make_key_file(pathlib.Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.close()
    keys = {process.stdout.read().strip() for process in processes}
    for process in processes:
        process.stdout.close()
        assert process.wait() == 0
    assert keys == {path.read_text().strip()}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("spoil", ["folder", "binary", "unwritable"])
def test_unusable_key_file_is_a_startup_error(path, spoil):
    if spoil == "folder":
        path.mkdir(parents=True)
    elif spoil == "binary":
        path.parent.mkdir()
        path.write_bytes(b"\xff\xfe")
    else:
        path.parent.write_text("a file where the folder should be")
    with pytest.raises(StartupError, match=r"tokensvc\.db\.key cannot be used"):
        load_or_make_key_file(path)
