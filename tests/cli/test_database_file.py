"""Commands act on the service's own database, or fail: only three of them create an SQLite file."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import jwt
import pytest

from testing.command_line import STAYING, run_command
from testing.http_client import Client
from testing.service import settings_environ, start_service
from testing.waiting import is_available, wait_until
from tokensvc.cli import main

TOKEN = jwt.encode({"user_id": "mallory"}, "s" * 32)
CREATING = {"migrate", "restore", "serve"}
WITHOUT_DATABASE = {"openapi", "user-id encode", "user-id decode"}
VALUES = {"file": "backup", "unverified_token": TOKEN}
OPTIONS = {"clients update": ["--vouches"]}
CONFIG = 'public_url = "https://tokens.example"\n[accounts]\nenabled = true\n'


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of a group that is no group itself, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def arguments(command: click.Command) -> list[str]:
    """Return a value for each required argument and option."""
    needed = [each for each in command.params if each.required]
    options = [each for each in needed if isinstance(each, click.Option)]
    positional = [each for each in needed if isinstance(each, click.Argument)]
    values = [VALUES.get(each.name or "", "mallory") for each in positional]
    return [word for each in options for word in (each.opts[0], value_of(each))] + values


def value_of(option: click.Option) -> str:
    kind = option.type
    return kind.choices[0] if isinstance(kind, click.Choice) else "tokens:mint"


COMMANDS = {" ".join(words): (words, command) for words, command in commands(main)}


def test_no_command_is_missing() -> None:
    assert COMMANDS.keys() > CREATING | WITHOUT_DATABASE | STAYING | {"doctor", "users suspend"}


@pytest.mark.sec(68)
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - CREATING - WITHOUT_DATABASE - STAYING))
def test_command_on_a_missing_database_fails_and_creates_nothing(name: str, tmp_path: Path) -> None:
    """It names the absolute path, and what to do."""
    words, command = COMMANDS[name]
    path = tmp_path / "elsewhere" / "tokensvc.db"
    environ = settings_environ(tmp_path, TOKENSVC_ACCOUNTS__ENABLED="true")
    environ["TOKENSVC_DATABASE_URL"] = f"sqlite:///{path}"
    given = [*arguments(command), *OPTIONS.get(name, [])]
    ended = run_command(tmp_path, environ, *words, *given, stdin=TOKEN)
    assert ended.code == 1, ended.err
    assert f"{path} is missing or empty" in ended.out + ended.err
    assert "TOKENSVC_CONFIG" in ended.out + ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sec(68)
def test_worker_on_a_missing_database_fails_and_creates_nothing(tokensvc, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "tokensvc.db"
    ended = tokensvc.process("worker", TOKENSVC_DATABASE_URL=f"sqlite:///{path}")
    assert ended.code == 1
    assert f"{path} is missing or empty" in ended.err
    assert not path.parent.exists()


@pytest.mark.sec(68)
@pytest.mark.parametrize("folder", ["elsewhere", "etc"])
def test_relative_path_counts_from_the_folder_of_the_settings_file(
    folder: str, tmp_path: Path
) -> None:
    """A ban that is typed in another folder bans the user of the running service."""
    for name in ("etc", "elsewhere"):
        (tmp_path / name).mkdir()
    config = tmp_path / "etc" / "tokensvc.toml"
    config.write_text(f'database_url = "sqlite:///tokensvc.db"\n{CONFIG}')
    environ = {**settings_environ(tmp_path), "TOKENSVC_CONFIG": str(config)}
    del environ["TOKENSVC_DATABASE_URL"]
    assert run_command(tmp_path, environ, "migrate").code == 0
    assert (tmp_path / "etc" / "tokensvc.db").exists()
    suspended = run_command(tmp_path / folder, environ, "users", "suspend", "mallory")
    assert suspended.code == 0
    minted = run_command(tmp_path, environ, "token", "mint", "mallory")
    assert (minted.code, "suspended" in minted.err) == (1, True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    environ["TOKENSVC_CONFIG"] = "../etc/tokensvc.toml"
    shown = run_command(tmp_path / "elsewhere", environ, "users", "show", "mallory", "--json")
    assert shown.json["suspended"] is True


@pytest.mark.sec(61, 68)
@pytest.mark.parametrize(
    ("url", "fault"), [("", "is missing"), ("sqlite:///tokensvc.db", "is a relative path")]
)
def test_relative_path_without_a_settings_file_is_refused_in_production(
    url: str, fault: str, tokensvc, tmp_path: Path
) -> None:
    for words in (("users", "suspend", "mallory"), ("doctor",), ("serve",)):
        ended = tokensvc.process(*words, TOKENSVC_DATABASE_URL=url)
        assert ended.code == 1
        assert f"TOKENSVC_DATABASE_URL: {fault}" in ended.out + ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["tokensvc.db"]


def test_relative_path_in_development_counts_from_the_current_folder(tmp_path: Path) -> None:
    environ = settings_environ(
        tmp_path, TOKENSVC_ENVIRONMENT="development", TOKENSVC_DATABASE_URL=""
    )
    assert run_command(tmp_path, environ, "migrate").code == 0
    assert (tmp_path / "var" / "tokensvc.db").exists()
    assert f"{tmp_path}/var/tokensvc.db" in run_command(tmp_path, environ, "doctor").out


@pytest.mark.sec(68)
def test_start_creates_the_database_and_a_reload_does_not(tmp_path: Path) -> None:
    """A new database would not know who is banned."""
    service = start_service(tmp_path)
    try:
        for path in tmp_path.glob("tokensvc.db*"):
            path.unlink()
        before = service.worker_pids()
        service.reload()
        assert service.worker_pids() != before
        refused = [line for line in service.log_lines() if "settings_reload_failed" in str(line)]
        assert "tokensvc.db is missing or empty" in refused[0]["detail"]
        ended = run_command(tmp_path, settings_environ(tmp_path), "users", "suspend", "mallory")
        assert (ended.code, "is missing or empty" in ended.err) == (1, True)
    finally:
        service.stop()


@pytest.mark.sec(68)
def test_worker_that_starts_after_the_loss_of_the_database_creates_none(tmp_path: Path) -> None:
    """A new database would not know who is banned, and would hide the loss."""
    service = start_service(tmp_path)
    try:
        for path in tmp_path.glob("tokensvc.db*"):
            path.unlink()
        (before,) = service.worker_pids()
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: before not in service.worker_pids(), "the worker is replaced")
        wait_until(lambda: is_available(f"{service.base_url}/healthz"), "the new worker serves")
        assert Client(service.base_url).get("/readyz").status == 503
        assert not list(tmp_path.glob("tokensvc.db"))
    finally:
        service.stop()
