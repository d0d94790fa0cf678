"""`tokensvc serve`, `migrate` and `openapi`, and what every command has in common."""

import signal

import click
import pytest
import yaml

from testing.command_line import SCRIPT
from testing.service import ROOT, free_port, settings_environ
from testing.shell import running
from tokensvc.cli import main

GROUPS = [(), *((name,) for name, each in main.commands.items() if isinstance(each, click.Group))]


def test_serve_is_the_service_and_stops_when_told(tmp_path):
    """`serve --bind` listens there, as one process tree whose head ends on SIGTERM with 0."""
    bind = f"127.0.0.1:{free_port()}"
    environ = settings_environ(tmp_path, TOKENSVC_WORKERS="1", TOKENSVC_BIND="127.0.0.1:1")
    command = [SCRIPT, "serve", "--bind", bind]
    with running(command, f"http://{bind}", tmp_path, **environ) as service:
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0


@pytest.mark.sec(61)
def test_serve_says_every_fault_of_the_settings(tokensvc):
    """Bad settings stop the start, all named at once, without a traceback."""
    ended = tokensvc.process("serve", TOKENSVC_WORKERS="none", TOKENSVC_ISSUER="https://id.example")
    assert ended.code != 0
    assert "TOKENSVC_WORKERS" in ended.err
    assert "TOKENSVC_ISSUERS" in ended.err
    assert "Traceback" not in ended.err


def test_migrate_says_what_it_did(tokensvc):
    """The first run applies the migrations, the second has nothing to do."""
    first = tokensvc("migrate", "--json").json
    assert first["status"] == "current"
    assert first["applied"][-1] == first["schema"]
    again = tokensvc("migrate")
    assert (again.code, "Nothing to do" in again.out) == (0, True)


def test_migrate_works_in_spite_of_a_conflict_of_keys(tokensvc):
    """Another secret for a live key stops other commands, not this one."""
    assert tokensvc("token", "mint", "john").code == 0
    other = {"STREAM_API_SECRET": "another-stream-secret-of-more-than-32-bytes"}
    assert tokensvc("token", "mint", "john", **other).code == 1
    assert tokensvc("migrate", **other).code == 0


def test_openapi_writes_the_contract(tokensvc):
    """The document comes as it is written, or as JSON; no settings are needed."""
    written = (ROOT / "openapi.yaml").read_text()
    assert tokensvc("openapi", TOKENSVC_PUBLIC_URL="").out == written
    assert tokensvc("openapi", "--json").json == yaml.safe_load(written)


@pytest.mark.sec(61)
def test_commands_say_every_fault_of_the_settings(tokensvc):
    """A command with bad settings ends with 1 and names them all."""
    ended = tokensvc("clients", "list", TOKENSVC_PUBLIC_URL="", TOKENSVC_BIND="nowhere")
    assert ended.code == 1
    assert "TOKENSVC_PUBLIC_URL" in ended.err
    assert "TOKENSVC_BIND" in ended.err
    assert "Traceback" not in ended.err


def test_a_database_that_is_gone_is_told(tokensvc):
    """Without its database a command ends with 1 and says so, without the password."""
    settings = {
        "TOKENSVC_DATABASE_URL": f"postgresql://tokensvc:hush@127.0.0.1:{free_port()}/tokensvc",
        "TOKENSVC_ENCRYPTION_KEYS": '["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]',
    }
    ended = tokensvc("clients", "list", **settings)
    assert ended.code == 1
    assert "database" in ended.err
    assert "hush" not in ended.err
    assert "Traceback" not in ended.err


def test_help_names_every_command(tokensvc):
    """`--help` lists what there is; a word that is no command ends with 2 and names near ones."""
    shown = tokensvc("--help")
    assert shown.code == 0
    for command in ("serve", "migrate", "doctor", "token", "user-id", "clients", "openapi"):
        assert f"\n  {command} " in shown.out
    assert tokensvc("client").code == 2


@pytest.mark.parametrize("group", GROUPS)
def test_each_command_is_told_in_a_whole_sentence(tokensvc, group):
    """The lists of commands fit into a terminal."""
    listed = tokensvc(*group, "--help").out.partition("Commands:\n")[2]
    lines = listed.partition("\n\n")[0].splitlines()
    assert lines
    assert [line for line in lines if not line.endswith(".") or line.endswith("..")] == []
