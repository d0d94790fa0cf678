"""Debian's Prometheus: a server that scrapes a service, and its tool for rules."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from testing.service import free_port, wait_until_ready

_CONFIGURATION = """
global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: tokensvc
    static_configs: [{{targets: {targets}}}]
"""


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`, or skip the test."""
    path = shutil.which(name)
    if path is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end(f"{name} is not installed: apt-get install prometheus")
    return path


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        return self._data("query", query=expression)["result"]

    def alerts(self) -> set[str]:
        """Return the names of the alerts that fire or are pending."""
        return {alert["labels"]["alertname"] for alert in self._data("alerts")["alerts"]}

    def rule_states(self) -> set[str]:
        """Return the results of the last evaluation of all rules: `ok`, `err` or `unknown`."""
        groups = self._data("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    def _data(self, path: str, **fields: str) -> Any:
        response = urllib3.request("GET", f"{self._url}/api/v1/{path}", fields=fields)
        assert response.status == 200, response.data
        return response.json()["data"]


@contextlib.contextmanager
def running_prometheus(folder: Path, rules: Path, *targets: str) -> Iterator[Prometheus]:
    """
    Run a server that scrapes five times a second until the block ends.

    Args:
        folder: Folder of its data.
        rules: File with its rules.
        targets: Addresses to scrape, as `host:port`.
    """
    configuration = folder / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(rules=rules, targets=json.dumps(targets)))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_ready(process, f"http://{address}/-/ready")
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=30)
