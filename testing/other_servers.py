"""Run the application under other WSGI servers."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from testing.command_line import SCRIPT
from testing.service import ROOT, free_port, settings_environ
from testing.warm_start import run_program

SERVERS = {
    "gthread": ("gunicorn", "-k", "gthread", "-b", "{host}:{port}", "tokensvc.wsgi:app"),
    "granian": (
        *("granian", "--interface", "wsgi", "--host", "{host}", "--port", "{port}"),
        *("--no-ws", "tokensvc.wsgi:app"),
    ),
}


@contextlib.contextmanager
def running_server(name: str, folder: Path, issuers: list[dict[str, Any]]) -> Iterator[str]:
    """Run a server of `SERVERS` until the block ends, and yield its URL."""
    port = str(free_port())
    environ = settings_environ(folder, TOKENSVC_ISSUERS=json.dumps(issuers))
    # Commands prepare the database and the first key, as our configuration of gunicorn does.
    for command in ("migrate", "clients create backend --scope tokens:mint"):
        ended = run_program([SCRIPT, *command.split()], cwd=ROOT, env=environ)
        ended.check_returncode()
    arguments = [part.format(host="127.0.0.1", port=port) for part in SERVERS[name]]
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environ)
    try:
        retries = urllib3.Retry(200, backoff_factor=0.1, backoff_max=0.1)
        urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", retries=retries)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
