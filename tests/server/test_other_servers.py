"""The application under other WSGI servers: it is plain WSGI."""

from pathlib import Path

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.other_servers import SERVERS, running_server
from testing.service import STREAM_API_KEY


@pytest.mark.parametrize("name", SERVERS)
def test_other_server_serves_a_mint(name: str, tmp_path: Path) -> None:
    with (
        IssuerDouble() as issuer,
        running_server(name, tmp_path, [issuer.config()]) as base_url,
    ):
        response = Client(base_url).post(
            "/v1/token",
            json={"api_key": STREAM_API_KEY},
            headers={"Authorization": f"Bearer {issuer.token()}"},
        )
        assert response.status == 200
        assert response.json["token"]
