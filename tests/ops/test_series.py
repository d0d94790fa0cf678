"""The number of series in `/metrics`: nothing that a caller chooses is a label."""

import base64
import io

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY

from testing.doubles.issuer import IssuerDouble
from tests.ops.services import built_services, figure
from tokensvc.app import mount
from tokensvc.clients.credentials import hash_secret
from tokensvc.clients.tables import client_secrets, service_clients

CALLERS = 2_000
FIRST = 10
"""Number of callers after which every series must exist."""
SECRET = "tss_" + "0" * 43


@pytest.fixture
def services(tmp_path, migrated_sqlite_url):
    with IssuerDouble() as issuer, built_services(tmp_path, issuer, migrated_sqlite_url) as built:
        built.operations.readiness.probe()
        built.operations.collect_metrics()
        yield built


def add_clients(database):
    """Add a client for each caller."""
    numbers = range(CALLERS)
    client = {"scopes": '["tokens:mint"]', "vouches": True, "created_at": 0}
    secret = {"secret_hash": hash_secret(SECRET), "created_at": 0}
    with database.write() as tx:
        tx.execute(
            sa.insert(service_clients),
            [{"id": f"svc.c{n}", "name": f"c{n}", **client} for n in numbers],
        )
        tx.execute(
            sa.insert(client_secrets),
            [{"id": f"s{n}", "client_id": f"svc.c{n}", **secret} for n in numbers],
        )


class Caller:
    """A caller with its own address, origin, client, user, path, method and host."""

    def __init__(self, app, number):
        self.app = app
        self.number = number

    def send(self, method, path, body=b"", **members):
        basic = base64.b64encode(f"svc.c{self.number}:{SECRET}".encode()).decode()
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "RAW_URI": path,
            "QUERY_STRING": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_PORT": "8000",
            "REMOTE_ADDR": f"10.{self.number >> 16}.{self.number >> 8 & 255}.{self.number & 255}",
            "HTTP_HOST": "tokens.example",
            "HTTP_ORIGIN": f"https://o{self.number}.example",
            "HTTP_AUTHORIZATION": f"Basic {basic}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **members,
        }
        statuses = []
        b"".join(self.app(environ, lambda status, *_: statuses.append(int(status[:3]))))
        return statuses[0]

    def mint(self):
        return self.send("POST", "/v1/token", f'{{"user_id":"u{self.number}"}}'.encode())

    def refused(self):
        """Send one of several requests that are refused, and return its status."""
        n = self.number
        match n % 5:
            case 0:
                return self.send("POST", "/v1/token", HTTP_AUTHORIZATION=f"Bearer e30.e30.{n}")
            case 1:
                return self.send("GET", f"/v1/users/u{n}")
            case 2:
                return self.send("GET", f"/x{n}")
            case 3:
                return self.send(f"M{n}", "/v1/token")
            case _:
                return self.send("GET", "/v1/token", HTTP_HOST=f"h{n}.example")


def series():
    return {
        (sample.name, *sorted(sample.labels.items()))
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.startswith("tokensvc_")
    }


@pytest.mark.slow
def test_series_stay_bounded_with_2_000_users_clients_and_origins(services):
    add_clients(services.database)
    app = mount.build_app(services)
    callers = [Caller(app, number) for number in range(CALLERS)]
    assert [caller.mint() for caller in callers[:FIRST]] == [200] * FIRST
    assert [caller.refused() for caller in callers[:FIRST]] == [401, 403, 404, 405, 400] * 2
    before = series()
    minted = figure("tokensvc_mints_total", issuer="service", key="unnamed")
    for caller in callers[FIRST:]:
        caller.mint()
        caller.refused()
    after = figure("tokensvc_mints_total", issuer="service", key="unnamed")
    assert after == minted + CALLERS - FIRST
    assert series() == before
