"""The application under other WSGI servers: it is plain WSGI."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from testing.command_line import SCRIPT
from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.service import ROOT, STREAM_API_KEY, free_port, settings_environ

SERVERS = {
    "gthread": ("gunicorn", "-k", "gthread", "-b", "{host}:{port}", "tokensvc.wsgi:app"),
    "granian": (
        *("granian", "--interface", "wsgi", "--host", "{host}", "--port", "{port}"),
        *("--no-ws", "tokensvc.wsgi:app"),
    ),
}


@contextlib.contextmanager
def running_server(name: str, folder: Path, issuer: dict[str, Any]) -> Iterator[str]:
    port = str(free_port())
    environ = settings_environ(folder, TOKENSVC_ISSUERS=json.dumps([issuer]))
    # A command prepares the database and the first key, as our configuration of gunicorn does.
    subprocess.run(
        [SCRIPT, "clients", "create", "backend", "--scope", "tokens:mint"],
        cwd=ROOT,
        env=environ,
        check=True,
        capture_output=True,
    )
    arguments = [part.format(host="127.0.0.1", port=port) for part in SERVERS[name]]
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environ)
    try:
        retries = urllib3.Retry(200, backoff_factor=0.1, backoff_max=0.1)
        urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", retries=retries)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("name", SERVERS)
def test_other_server_serves_a_mint(name: str, tmp_path: Path) -> None:
    with (
        IssuerDouble() as issuer,
        running_server(name, tmp_path, issuer.config()) as base_url,
    ):
        response = Client(base_url).post(
            "/v1/token",
            json={"api_key": STREAM_API_KEY},
            headers={"Authorization": f"Bearer {issuer.token()}"},
        )
        assert response.status == 200
        assert response.json["token"]
