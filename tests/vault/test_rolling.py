"""Encryption keys by `…_FILE` and HUP on two instances, and mistakes in the order."""

import contextlib
import json
from dataclasses import dataclass, field

import pytest

from testing.command_line import run_json
from testing.http_client import Client
from testing.service import STREAM_API_KEY, Service, running_service
from testing.service_clients import basic_header
from testing.waiting import wait_until
from tokensvc.vault.vault import Vault

pytestmark = pytest.mark.slow

OLD, NEW = Vault.generate_key(), Vault.generate_key()
KEYS = "/v1/stream-keys"
SECRET = "another-secret-of-streams-dashboard-0123"


@dataclass
class Instance:
    """A running instance, and the file that its encryption keys are in."""

    service: Service
    file: object
    client: Client = field(init=False)

    def __post_init__(self):
        self.client = Client(self.service.base_url)

    def reload(self, *keys):
        """Change the file, send HUP, and wait until every worker is a new one."""
        self.file.write_text("\n".join(keys))
        self.service.reload()

    def is_ready(self):
        return self.client.get("/readyz").status == 200

    def events(self):
        return [line["event"] for line in self.service.log_lines()]


class Fleet:
    """Two instances on one database, and a client that can add keys and mint."""

    def __init__(self, instances, operator, folder, settings):
        self.instances = instances
        self.operator = operator
        self.folder = folder
        self.settings = settings
        self.api_keys = [STREAM_API_KEY]

    def add(self, by):
        """Add a key through one instance, whose first encryption key encrypts it."""
        api_key = f"k{len(self.api_keys)}"
        body = {"api_key": api_key, "secret": SECRET}
        assert by.client.post(KEYS, json=body, headers=self.operator).status == 201
        self.api_keys.append(api_key)
        return api_key

    def mint(self, by, api_key):
        body = {"user_id": "john", "api_key": api_key}
        return by.client.post("/v1/token", json=body, headers=self.operator)

    def works(self):
        """Wait until each instance is ready, and return whether it signs with every key."""
        for instance in self.instances:
            wait_until(instance.is_ready, "the next look")
        return all(
            self.mint(instance, api_key).status == 200
            for instance in self.instances
            for api_key in self.api_keys
        )


@pytest.fixture
def fleet(tmp_path, migrated_postgres_url):
    files = [tmp_path / name for name in ("one.keys", "two.keys")]
    settings = {"TOKENSVC_DATABASE_URL": migrated_postgres_url}
    with contextlib.ExitStack() as stack:
        instances = []
        for file in files:
            file.write_text(OLD)
            own = {**settings, "TOKENSVC_ENCRYPTION_KEYS_FILE": str(file)}
            service = stack.enter_context(running_service(tmp_path, **own))
            instances.append(Instance(service, file))
        scopes = ("--scope", "keys:write", "--scope", "tokens:mint")
        client = run_json(tmp_path, "clients", "create", "ops", *scopes, "--vouches", **own)
        yield Fleet(instances, basic_header(client), tmp_path, settings)


def reload_failures(instance):
    lines = instance.service.log_lines()
    return [line for line in lines if line["event"] == "settings_reload_failed"]


def test_encryption_keys_are_changed_without_a_gap(fleet):
    one, two = fleet.instances
    for keys in ([OLD, NEW], [NEW, OLD]):
        for instance in fleet.instances:
            instance.reload(*keys)
            for adder in fleet.instances:
                fleet.add(adder)
            assert fleet.works()
    done = run_json(
        fleet.folder,
        *("keys", "reencrypt"),
        TOKENSVC_ENCRYPTION_KEYS=json.dumps([NEW, OLD]),
        **fleet.settings,
    )
    # Those of the settings, and of the instances while the old key was their first.
    assert (done["rewrapped"], done["remaining"]) == (6, {})
    assert fleet.works()
    for instance in (one, two):
        instance.reload(NEW)
        fleet.add(instance)
        assert fleet.works()
        assert not {"settings_reload_failed", "keys_unreadable"} & set(instance.events())


def test_hup_without_a_needed_key_is_refused(fleet):
    """It names the missing key, and new workers keep the previous keys too."""
    one, two = fleet.instances
    (missing,) = Vault([OLD]).fingerprints
    one.reload(NEW)
    (refused,) = reload_failures(one)
    assert missing in refused["detail"]
    assert OLD not in json.dumps(refused)
    assert fleet.works()
    fleet.add(one)
    assert fleet.works()
    assert reload_failures(two) == []


def test_hup_with_an_invalid_file_keeps_the_previous_keys(fleet):
    one = fleet.instances[0]
    for number, content in enumerate(["no-key-at-all", "", OLD[:-4]], start=1):
        one.reload(content)
        refused = reload_failures(one)
        assert len(refused) == number
        assert "TOKENSVC_ENCRYPTION_KEYS_FILE" in refused[-1]["detail"]
        assert not content or content not in json.dumps(refused)
    assert fleet.works()


def test_instance_without_an_encryption_key_is_not_ready_and_signs_with_readable_keys(fleet):
    """HUP with the key repairs it."""
    one, two = fleet.instances
    two.reload(NEW, OLD)
    hidden = fleet.add(two)
    assert fleet.mint(two, hidden).status == 200
    refused = fleet.mint(one, hidden)
    assert (refused.status, refused.code) == (503, "temporarily_unavailable")
    assert fleet.mint(one, STREAM_API_KEY).status == 200
    wait_until(lambda: not one.is_ready(), "the next look")
    (line_, *_) = [line for line in one.service.log_lines() if "version" in line]
    assert (line_["event"], line_["level"]) == ("keys_unreadable", "critical")
    assert line_["missing_fingerprints"] == sorted(Vault([NEW]).fingerprints)
    (found,) = [
        key["id"]
        for key in one.client.get(KEYS, headers=fleet.operator).json["items"]
        if key["api_key"] == hidden
    ]
    assert line_["keys"] == [found]
    one.reload(OLD, NEW)
    assert fleet.works()
