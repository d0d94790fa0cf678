"""`tokensvc worker`: what HUP applies and ignores, and its health and metrics."""

import contextlib
import json
import signal
import socket
import time

import pytest
import urllib3

from testing.command_line import SCRIPT
from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, free_port, settings_environ
from testing.waiting import is_available, wait_until
from testing.warm_start import Program
from tests.cli.conftest import Tokensvc
from tokensvc.vault.vault import Vault

OLD, NEW = Vault.generate_key(), Vault.generate_key()
OTHER_SECRET = "another-secret-of-streams-dashboard-0123"
SECONDS = 60.0


class Worker:
    """A running worker with its encryption keys in a file."""

    def __init__(self, folder, stream):
        self.folder = folder
        self.file = folder / "encryption.keys"
        self.toml = folder / "tokensvc.toml"
        self.log = folder / "worker.log"
        self.settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_LOG__FORMAT": "json",
            "TOKENSVC_CONFIG": str(self.toml),
        }
        self.write([OLD])
        self.toml.write_text("")

    def write(self, keys):
        self.file.write_text("\n".join(keys))

    @contextlib.contextmanager
    def running(self):
        own = {**self.settings, "TOKENSVC_ENCRYPTION_KEYS_FILE": str(self.file)}
        with self.log.open("wb") as log:
            self.process = Program(
                [SCRIPT, "worker"],
                cwd=self.folder,
                env=settings_environ(self.folder, **own),
                stderr=log.fileno(),
            )
        try:
            self.wait_for("worker_started")
            yield
        finally:
            self.process.terminate()
            self.process.wait(SECONDS)

    def events(self, name):
        lines = (json.loads(line) for line in self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == name]

    def wait_for(self, event, count=1):
        deadline = time.monotonic() + SECONDS
        while len(self.events(event)) < count:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def stream():
    keys = {STREAM_API_KEY: STREAM_API_SECRET, "k2": OTHER_SECRET}
    with StreamDouble(keys) as double:
        double.app.users["ada"] = {"id": "ada"}
        yield double


@pytest.fixture
def worker(migrated_sqlite_url, tmp_path, stream):
    made = Worker(tmp_path, stream)
    with made.running():
        yield made


def test_reload_applies_new_encryption_keys(worker, stream):
    """The worker decrypts secrets with the new key, and the old key can be removed."""
    operator = Tokensvc(worker.folder, worker.settings)

    def run(*arguments, keys=(NEW,), stdin=""):
        ended = operator(*arguments, stdin=stdin, TOKENSVC_ENCRYPTION_KEYS=json.dumps(list(keys)))
        assert ended.code == 0, ended.err
        return ended

    worker.write([NEW, OLD])
    worker.reload()
    worker.wait_for("worker_reloaded")
    run("keys", "reencrypt", keys=(NEW, OLD))
    worker.write([NEW])
    worker.reload()
    worker.wait_for("worker_reloaded", 2)

    key_id = run("stream-keys", "add", "k2", "--json", stdin=OTHER_SECRET).json["id"]
    run("stream-keys", "activate", key_id)
    del stream.app.keys[STREAM_API_KEY]
    run("users", "suspend", "ada")
    (call,) = stream.calls.wait_for("PATCH", "/users")
    assert call.query["api_key"] == "k2"
    worker.process.terminate()
    assert worker.process.wait(SECONDS) == 0
    assert worker.events("worker_stopped")


def test_invalid_reload_keeps_previous_settings_and_is_logged(worker, stream):
    (missing,) = Vault([OLD]).fingerprints
    invalid = [
        ([OLD], "cors.origins = [", "TOKENSVC_CONFIG"),
        ([OLD], "worker = 7", "worker"),
        ([NEW], "", missing),
        (["no-key-at-all"], "", "TOKENSVC_ENCRYPTION_KEYS_FILE"),
    ]
    for number, (keys, toml, hint) in enumerate(invalid, start=1):
        worker.write(keys)
        worker.toml.write_text(toml)
        worker.reload()
        worker.wait_for("settings_reload_failed", number)
        assert hint in worker.events("settings_reload_failed")[-1]["detail"]
    assert not worker.events("worker_reloaded")
    assert len(worker.events("worker_started")) == 1  # it delivered all the time
    own = {**worker.settings, "TOKENSVC_CONFIG": "", "TOKENSVC_ENCRYPTION_KEYS": f'["{OLD}"]'}
    assert Tokensvc(worker.folder, own)("users", "suspend", "ada").code == 0
    (call,) = stream.calls.wait_for("PATCH", "/users")
    assert call.query["api_key"] == STREAM_API_KEY


def get(url):
    return urllib3.request("GET", url, headers={"Connection": "close"}, retries=False)


def checks(url):
    return {check["name"]: check["state"] for check in get(f"{url}/readyz").json()["checks"]}


def test_worker_serves_health_and_metrics_on_metrics_bind(migrated_sqlite_url, tmp_path, stream):
    """Also after a reload. It has no other routes, and no issuers to be ready for."""
    made = Worker(tmp_path, stream)
    made.settings["TOKENSVC_METRICS__BIND"] = bind = f"127.0.0.1:{free_port()}"
    url = f"http://{bind}"
    with made.running():
        assert get(f"{url}/healthz").json() == {"status": "ok"}
        names = (
            "database",
            "database_servers",
            "stream_keys",
            "stream_app",
            "delivery",
            "database_clock",
            "cut_offs",
        )
        ready = dict.fromkeys(names, "ok")
        assert checks(url) == ready
        assert get(f"{url}/v1/token").status == 404
        made.reload()
        made.wait_for("worker_reloaded")
        wait_until(lambda: is_available(f"{url}/healthz"), "the reloaded worker serves")
        operator = Tokensvc(
            made.folder, {**made.settings, "TOKENSVC_ENCRYPTION_KEYS": f'["{OLD}"]'}
        )
        assert operator("users", "suspend", "ada").code == 0
        stream.calls.wait_for("PATCH", "/users")

        def has_counted():
            metrics = get(f"{url}/metrics").data.decode()
            return 'tokensvc_stream_calls_total{kind="user",result="done"} 1.0' in metrics

        wait_until(has_counted, "the delivery is counted")
        assert 'tokensvc_loop_failing{loop="delivery"} 0.0' in get(f"{url}/metrics").data.decode()
        made.process.terminate()
        assert made.process.wait(SECONDS) == 0


def test_worker_checks_the_key_that_stream_refuses_immediately(
    migrated_sqlite_url, tmp_path, stream
):
    """The process that delivers learns it first, so its metrics raise the alert."""
    made = Worker(tmp_path, stream)
    made.settings["TOKENSVC_METRICS__BIND"] = bind = f"127.0.0.1:{free_port()}"

    def is_accepted(value):
        line = f'tokensvc_stream_key_accepted{{key="active"}} {value}'
        return line in get(f"http://{bind}/metrics").data.decode()

    with made.running():
        wait_until(lambda: is_accepted("1.0"), "the key is checked")
        stream.app.keys[STREAM_API_KEY] = OTHER_SECRET
        operator = Tokensvc(
            made.folder, {**made.settings, "TOKENSVC_ENCRYPTION_KEYS": f'["{OLD}"]'}
        )
        assert operator("users", "suspend", "ada").code == 0
        wait_until(lambda: is_accepted("0.0"), "the refusal is in the metrics")


def test_port_in_use_ends_the_worker_with_the_setting(migrated_sqlite_url, tmp_path, stream):
    settings = {"STREAM_BASE_URL": stream.url, "TOKENSVC_STREAM__DELIVERY": "on"}
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = Tokensvc(tmp_path, settings).process("worker", TOKENSVC_METRICS__BIND=address)
    assert ended.code == 1
    assert f"Cannot listen on {address}: address in use." in ended.err
    assert "`metrics.bind`" in ended.err
