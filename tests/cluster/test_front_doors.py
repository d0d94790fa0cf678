"""The shipped nginx, HAProxy and Caddy in front of the service."""

import json
import os
import threading
from pathlib import Path

import pytest
import trustme
import urllib3

from testing.front_doors import program, running_front_door
from testing.runs import front_doors
from testing.runs.front_door_load import ORIGIN, is_refusal
from testing.service import start_service

pytestmark = pytest.mark.slow


@pytest.mark.skipif(
    not all(map(program, front_doors.BALANCERS)) and "CI" not in os.environ,
    reason="nginx or HAProxy is not installed",
)
def test_faults_behind_a_balancer_fail_no_request() -> None:
    """
    A short form of `python -m proofs.front_doors`.

    No client notices a killed instance; without the database the service itself refuses.
    """
    for figures in front_doors.prove(requests=5, pause=0.5):
        assert figures.holds, "\n".join(figures.lines())


def test_request_waits_at_caddy_while_the_service_restarts(tmp_path: Path) -> None:
    """If the service stays away, Caddy says so in the form of the service."""
    settings = {
        "TOKENSVC_CORS__ORIGINS": json.dumps([ORIGIN]),
        "TOKENSVC_PROXIES__TRUSTED": '["127.0.0.1/32"]',
        "TOKENSVC_LOG__FORMAT": "json",
    }
    first = start_service(tmp_path, **settings)
    address = first.base_url.removeprefix("http://")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    headers = {"Origin": ORIGIN, "X-Forwarded-For": "192.0.2.1"}
    with (
        running_front_door("caddy", tmp_path, [address], certificate) as door,
        urllib3.PoolManager(
            retries=False, ca_certs=str(tmp_path / "ca.pem"), source_address=("127.0.0.2", 0)
        ) as pool,
    ):

        def mint() -> urllib3.BaseHTTPResponse:
            return pool.request("POST", f"{door.url}/v1/token", json={}, headers=headers)

        assert mint().status == 401
        first.stop()  # the line is written
        (seen,) = [line for line in first.log_lines() if line.get("route") == "/v1/token"]
        assert seen["client"] == "127.0.0.2"
        statuses: list[int] = []
        waiting = threading.Thread(target=lambda: statuses.append(mint().status))
        waiting.start()
        second = start_service(tmp_path, TOKENSVC_BIND=address, **settings)
        waiting.join()
        assert statuses == [401]
        second.stop()
        assert is_refusal(mint())
