"""The encryption key that is created once next to a SQLite file."""

import stat

import pytest

from testing.processes import FORK_SERVER
from tokensvc.core.errors import StartupError
from tokensvc.vault.key_file import load_or_make_key_file
from tokensvc.vault.vault import Vault

PROCESSES = 4


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "tokensvc.db.key"


def test_key_file_is_private_and_created_once(path):
    key = load_or_make_key_file(path)
    assert Vault([key]).decrypt(Vault([key]).encrypt(b"secret")[0]) == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_key_file(path) == key
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_existing_key_file_is_not_overwritten(path):
    """Not even an invalid one: secrets may be encrypted with what it contained."""
    path.parent.mkdir()
    path.write_text("not a key\n")
    path.chmod(0o400)
    with pytest.raises(StartupError, match=r"tokensvc\.db\.key is damaged"):
        load_or_make_key_file(path)
    assert path.read_text() == "not a key\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def load_with_others(paths, barrier, keys):
    loaded = []
    for path in paths:
        barrier.wait(60)
        loaded.append(load_or_make_key_file(path))
    keys.put(loaded)


def test_processes_that_start_simultaneously_share_one_key(path):
    paths = [path.with_name(f"{number}.key") for number in range(200)]
    barrier, found = FORK_SERVER.Barrier(PROCESSES), FORK_SERVER.SimpleQueue()
    arguments = (paths, barrier, found)
    processes = [
        FORK_SERVER.Process(target=load_with_others, args=arguments) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [found.get() for _ in processes] == [
        [key.read_text().strip() for key in paths]
    ] * PROCESSES
    assert {*path.parent.iterdir()} == {*paths}


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
