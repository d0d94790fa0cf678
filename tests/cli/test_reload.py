"""HUP to the running service: what changes, what is refused, and what needs a restart."""

import os
import signal
import time
from dataclasses import dataclass

import pytest

from development.issuer import DevelopmentIssuer
from testing.http_client import Client
from testing.service import Service, free_port, running_service
from tokensvc.vault.vault import Vault

pytestmark = pytest.mark.slow

ISSUER = """
[[issuers]]
name = "acme"
issuer = "https://id.acme.example"
audience = "chat"
public_keys_file = "{file}"
"""


@dataclass
class Reloadable:
    """A running service with a TOML file and a file with the metrics token."""

    service: Service
    toml: object
    token: object

    def reload(self):
        self.service.reload()

    def lose_workers(self):
        """Kill the workers, and wait until the master has started others."""
        before = self.service.worker_pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        self.service.wait_for_new_workers(before)

    @property
    def client(self):
        return Client(self.service.base_url)

    def allows(self, origin):
        """Return whether a setting that is visible from outside has this value."""
        response = self.client.get("/healthz", headers={"Origin": origin})
        return response.headers.get("Access-Control-Allow-Origin") == origin

    def accepts(self, token):
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.get("/metrics", headers=headers).status == 200

    def events(self, name):
        return [line for line in self.service.log_lines() if line["event"] == name]


def origin(name):
    return f"cors.origins = ['https://{name}.example']\n"


@pytest.fixture
def reloadable(tmp_path):
    toml, token = tmp_path / "tokensvc.toml", tmp_path / "metrics.token"
    toml.write_text(origin("one"))
    token.write_text("metrics-token-number-one")
    settings = {"TOKENSVC_CONFIG": str(toml), "TOKENSVC_METRICS__TOKEN_FILE": str(token)}
    with running_service(tmp_path, **settings) as service:
        yield Reloadable(service, toml, token)


def test_reload_applies_changes_of_toml_and_secret_files(reloadable):
    assert reloadable.allows("https://one.example")
    assert reloadable.accepts("metrics-token-number-one")
    reloadable.toml.write_text(origin("two"))
    reloadable.token.write_text("metrics-token-number-two")
    reloadable.reload()
    assert reloadable.allows("https://two.example")
    assert not reloadable.allows("https://one.example")
    assert reloadable.accepts("metrics-token-number-two")
    assert not reloadable.accepts("metrics-token-number-one")
    assert not reloadable.events("settings_reload_failed")


@pytest.fixture
def issuing(tmp_path):
    """Yield a service whose issuer has a key file, that file, and the issuer."""
    issuer = DevelopmentIssuer(tmp_path / "issuer.pem", "https://id.acme.example", "chat")
    keys = issuer.issuer_settings().public_keys_file
    toml = tmp_path / "tokensvc.toml"
    toml.write_text(ISSUER.format(file=keys))
    with running_service(tmp_path, TOKENSVC_CONFIG=str(toml)) as service:
        yield Reloadable(service, toml, None), keys, issuer


def minted_with(reloadable, issuer):
    bearer = {"Authorization": f"Bearer {issuer.issue('john', int(time.time()), 60)}"}
    return reloadable.client.post("/v1/token", headers=bearer).status


@pytest.mark.sec(61)
@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_damaged_key_file_keeps_the_keys_of_later_workers(issuing, damage):
    """A worker that cannot start would end the whole service. SIGHUP refuses the file."""
    reloadable, keys, issuer = issuing
    whole = keys.read_text()
    keys.write_text(whole[: len(whole) // 2]) if damage == "changed" else keys.unlink()
    reloadable.lose_workers()
    assert minted_with(reloadable, issuer) == 200
    reloadable.reload()
    (refused,) = reloadable.events("settings_reload_failed")
    assert str(keys) in refused["detail"]
    assert minted_with(reloadable, issuer) == 200


def test_reload_applies_a_changed_key_file(issuing, tmp_path):
    reloadable, keys, issuer = issuing
    other = DevelopmentIssuer(tmp_path / "other.pem", "https://id.acme.example", "chat")
    keys.write_text(other.issuer_settings().public_keys_file.read_text())
    assert [minted_with(reloadable, who) for who in (issuer, other)] == [200, 401]
    reloadable.reload()
    assert [minted_with(reloadable, who) for who in (issuer, other)] == [401, 200]


@pytest.mark.sec(61)
def test_lost_encryption_key_file_keeps_the_key_of_later_workers(reloadable, tmp_path):
    """SIGHUP is refused, and creates no other key."""
    file = tmp_path / "tokensvc.db.key"
    (missing,) = Vault([file.read_text().strip()]).fingerprints
    file.unlink()
    reloadable.lose_workers()
    assert reloadable.client.get("/readyz").status == 200
    reloadable.reload()
    (refused,) = reloadable.events("settings_reload_failed")
    assert missing in refused["detail"]
    assert reloadable.client.get("/readyz").status == 200
    assert not file.exists()


@pytest.mark.parametrize("damage", ["garbage", "folder"])
def test_damaged_database_does_not_stop_the_service(reloadable, tmp_path, damage):
    """Workers that start later respond with 503."""
    for path in tmp_path.glob("tokensvc.db*"):
        path.unlink()
    path = tmp_path / "tokensvc.db"
    path.write_bytes(b"no database" * 1000) if damage == "garbage" else path.mkdir()
    reloadable.lose_workers()
    assert reloadable.client.get("/healthz").status == 200
    assert reloadable.client.get("/readyz").status == 503


@pytest.mark.sec(61)
def test_invalid_reload_keeps_previous_settings_and_is_logged(reloadable, tmp_path):
    """Workers that start later also have the previous settings."""
    keys = tmp_path / "missing.pem"
    empty = tmp_path / "empty.pem"
    empty.touch()
    invalid = [
        ("cors.origins = [", "TOKENSVC_CONFIG"),
        (origin("two") + "worker = 7\n", "worker"),
        (origin("two") + ISSUER.format(file=keys), str(keys)),
        (origin("two") + ISSUER.format(file=empty), str(empty)),
    ]
    for number, (text, hint) in enumerate(invalid, start=1):
        reloadable.toml.write_text("log.level = 'error'\n" + text)
        reloadable.reload()
        assert len(reloadable.events("settings_reload_failed")) == number
        assert hint in reloadable.events("settings_reload_failed")[-1]["detail"]
        assert reloadable.allows("https://one.example")
    reloadable.lose_workers()
    assert reloadable.allows("https://one.example")
    reloadable.client.get("/readyz")
    assert reloadable.events("request")[-1]["level"] == "info"
    reloadable.toml.write_text(origin("two"))
    reloadable.reload()
    assert reloadable.allows("https://two.example")


def test_change_that_needs_a_restart_is_logged_and_the_rest_applied(reloadable):
    reloadable.toml.write_text(
        origin("two")
        + "threads = 3\nmax_connections = 50\n"
        + f"metrics.bind = '127.0.0.1:{free_port()}'\n"
    )
    reloadable.reload()
    (warning,) = reloadable.events("restart_needed")
    assert warning["settings"] == ["threads", "max_connections", "metrics.bind"]
    assert reloadable.allows("https://two.example")
    assert not reloadable.events("settings_reload_failed")


def test_missing_key_file_stops_the_start_before_the_workers(tmp_path, tokensvc):
    toml = tmp_path / "tokensvc.toml"
    toml.write_text(ISSUER.format(file=tmp_path / "missing.pem"))
    ended = tokensvc.process(
        "serve", TOKENSVC_CONFIG=str(toml), TOKENSVC_BIND=f"127.0.0.1:{free_port()}"
    )
    assert ended.code == 1
    assert "missing.pem cannot be read" in ended.err
    assert "Traceback" not in ended.err
    assert "Booting worker" not in ended.err


def test_database_folder_that_cannot_be_created_stops_the_start(tmp_path, tokensvc):
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path / 'file' / 'tokensvc.db'}"
    bind = f"127.0.0.1:{free_port()}"
    ended = tokensvc.process("serve", TOKENSVC_DATABASE_URL=url, TOKENSVC_BIND=bind)
    assert ended.code == 1
    assert "Cannot create files in" in ended.err
    assert "Traceback" not in ended.err
