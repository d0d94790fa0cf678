"""From the key file next to a SQLite database to keys that can be changed, as documented."""

import re

import pytest

from testing.command_line import run_json
from testing.service import ROOT, running_service
from testing.service_clients import basic_header
from tests.vault.test_rolling import Instance
from tokensvc.vault.vault import Vault

pytestmark = pytest.mark.slow

MANUAL = ROOT / "docs" / "rotation.md"
NEW = Vault.generate_key()


def printed_toml(*keys):
    """Return the line of the documentation with these keys."""
    (line,) = re.findall(r'^encryption_keys = \["[^"]+"\]$', MANUAL.read_text(), re.MULTILINE)
    return re.sub(r'"[^"]+"', lambda _: ", ".join(f'"{key}"' for key in keys), line)


def mints(instance, headers):
    body = {"user_id": "john"}
    return instance.client.post("/v1/token", json=body, headers=headers).status == 200


def minting_client(folder, **settings):
    scope = ("--scope", "tokens:mint", "--vouches")
    return basic_header(run_json(folder, "clients", "create", "backend", *scope, **settings))


class Toml(Instance):
    """An instance whose encryption keys are in its TOML file."""

    def reload(self, *keys):
        super().reload(printed_toml(*keys))


def test_key_file_becomes_a_toml_setting_by_hup(tmp_path):
    toml = tmp_path / "tokensvc.toml"
    toml.touch()
    settings = {"TOKENSVC_CONFIG": str(toml)}
    with running_service(tmp_path, **settings) as service:
        instance = Toml(service, toml)
        headers = minting_client(tmp_path, **settings)
        key_file = tmp_path / "tokensvc.db.key"
        old = key_file.read_text().strip()
        for keys in ((old,), (old, NEW), (NEW, old)):
            instance.reload(*keys)
            assert mints(instance, headers)
        done = run_json(tmp_path, "keys", "reencrypt", **settings)
        assert (done["rewrapped"], done["remaining"]) == (1, {})
        instance.reload(NEW)
        key_file.unlink()
        instance.reload(NEW)
        assert mints(instance, headers)
        assert instance.is_ready()
        assert "settings_reload_failed" not in instance.events()
        assert not key_file.exists()


def test_copy_of_the_key_file_needs_one_restart(tmp_path):
    with running_service(tmp_path):
        headers = minting_client(tmp_path)
    copy = tmp_path / "encryption.keys"
    old = (tmp_path / "tokensvc.db.key").read_text()
    copy.write_text(old)
    settings = {"TOKENSVC_ENCRYPTION_KEYS_FILE": str(copy)}
    with running_service(tmp_path, **settings) as service:
        instance = Instance(service, copy)
        instance.reload(NEW, old.strip())
        assert run_json(tmp_path, "keys", "reencrypt", **settings)["remaining"] == {}
        instance.reload(NEW)
        assert mints(instance, headers)
        assert "settings_reload_failed" not in instance.events()
