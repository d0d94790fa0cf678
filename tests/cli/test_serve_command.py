"""`tokensvc serve`, `migrate` and `openapi`, and what all commands have in common."""

import socket

import pytest
import yaml

from testing.service import ROOT, free_port


@pytest.mark.parametrize("setting", ["bind", "metrics.bind"])
def test_port_in_use_is_reported_immediately(tokensvc, setting):
    """Before gunicorn, which tries for five seconds, and before the database is made."""
    (tokensvc.folder / "tokensvc.db").unlink()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        settings = {"TOKENSVC_BIND": f"127.0.0.1:{free_port()}"}
        settings["TOKENSVC_" + setting.replace(".", "__").upper()] = address
        ended = tokensvc.process("serve", **settings)
    assert ended.code == 1
    assert (
        f"Cannot listen on {address}: address in use. Stop the other process or change `{setting}`."
    ) in ended.err
    assert "Connection in use" not in ended.err
    assert not (tokensvc.folder / "tokensvc.db").exists()


def test_address_of_another_machine_is_refused_with_the_setting(tokensvc):
    ended = tokensvc.process("serve", "--bind", "192.0.2.1:8000")
    assert ended.code == 1
    assert "Cannot listen on 192.0.2.1:8000: Cannot assign requested address. Change" in ended.err


@pytest.mark.sec(61)
def test_serve_reports_all_invalid_settings(tokensvc):
    ended = tokensvc.process("serve", TOKENSVC_WORKERS="none", TOKENSVC_ISSUER="https://id.example")
    assert ended.code != 0
    assert "TOKENSVC_WORKERS" in ended.err
    assert "TOKENSVC_ISSUERS" in ended.err
    assert "Traceback" not in ended.err


def test_migrate_applies_migrations_once(tokensvc):
    (tokensvc.folder / "tokensvc.db").unlink()
    ended = tokensvc("migrate", "--json", TOKENSVC_LOG__LEVEL="debug")
    (line,) = [line for line in ended.err.splitlines() if "migrat" in line]  # not one for each
    assert "database_migrated" in line
    first = ended.json
    assert first["status"] == "current"
    assert first["applied"][-1] == first["schema"]
    again = tokensvc("migrate")
    assert (again.code, "Nothing to do" in again.out) == (0, True)


def test_migrate_works_with_a_conflicting_stream_secret(tokensvc):
    assert tokensvc("token", "mint", "john").code == 0
    other = {"STREAM_API_SECRET": "another-stream-secret-of-more-than-32-bytes"}
    assert tokensvc("token", "mint", "john", **other).code == 1
    assert tokensvc("migrate", **other).code == 0


def test_openapi_prints_the_contract_without_settings(tokensvc):
    written = (ROOT / "openapi.yaml").read_text()
    assert tokensvc("openapi", TOKENSVC_PUBLIC_URL="").out == written
    assert tokensvc("openapi", "--json").json == yaml.safe_load(written)


@pytest.mark.sec(61)
def test_command_reports_all_invalid_settings(tokensvc):
    ended = tokensvc("clients", "list", TOKENSVC_PUBLIC_URL="", TOKENSVC_BIND="nowhere")
    assert ended.code == 1
    assert "TOKENSVC_PUBLIC_URL" in ended.err
    assert "TOKENSVC_BIND" in ended.err
    assert "Traceback" not in ended.err


def test_unavailable_database_is_reported_without_the_password(tokensvc):
    settings = {
        "TOKENSVC_DATABASE_URL": f"postgresql://tokensvc:hush@127.0.0.1:{free_port()}/tokensvc",
        "TOKENSVC_ENCRYPTION_KEYS": '["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]',
    }
    ended = tokensvc("clients", "list", **settings)
    assert ended.code == 1
    assert "database" in ended.err
    assert "hush" not in ended.err
    assert "Traceback" not in ended.err
