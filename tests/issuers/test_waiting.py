"""A provider that hangs: other users of the running service get tokens."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import Service, running_service

WAITERS = 3
"""Those of the default number of threads that neither mint nor sign in."""
FLOOD = 12


@pytest.fixture
def providers() -> Iterator[tuple[IssuerDouble, IssuerDouble]]:
    """Yield two providers whose keys differ."""
    with IssuerDouble() as one, IssuerDouble() as other:
        other.rotate()  # the doubles share their first key
        other.withdraw(other.kids[0])
        yield one, other


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(FLOOD) as threads:
        yield threads


def start(stack: ExitStack, folder: Path, *providers: IssuerDouble) -> Service:
    """Run the service with its default number of threads."""
    for number, provider in enumerate(providers):
        provider.issuer = f"https://id-{number}.example"
    issuers = [
        provider.config(name=f"idp-{number}", user_id_prefix=f"{number}-")
        for number, provider in enumerate(providers)
    ]
    return stack.enter_context(running_service(folder, TOKENSVC_ISSUERS=json.dumps(issuers)))


def mint(service: Service, token: str) -> Response:
    headers = {"Authorization": f"Bearer {token}"}
    return Client(service.base_url).post("/v1/token", headers=headers)


def assert_rejected(flood: list[Future[Response]]) -> None:
    """Check that all requests without a wait slot get 503 with `Retry-After`."""
    for request in islice(as_completed(flood), FLOOD - WAITERS):
        response = request.result()
        assert response.code == "temporarily_unavailable"
        assert response.headers["Retry-After"] == "1"


def still_waiting(flood: list[Future[Response]]) -> int:
    """Count the requests that wait for the fetch."""
    return [request.done() for request in flood].count(False)


@pytest.mark.sec(18)
def test_flood_of_unknown_keys_does_not_delay_known_keys(
    tmp_path: Path, providers: tuple[IssuerDouble, IssuerDouble], pool: ThreadPoolExecutor
) -> None:
    """While the fetch hangs that the flood caused, a user with a known key gets a token."""
    provider, _ = providers
    with ExitStack() as stack:
        service = start(stack, tmp_path, provider)
        assert mint(service, provider.token()).status == 200
        provider.gate = threading.Event()
        forged = provider.sign(provider.claims(), header={"kid": "made-up"})
        flood = [pool.submit(mint, service, forged) for _ in range(FLOOD)]
        assert_rejected(flood)
        assert mint(service, provider.token()).status == 200
        assert still_waiting(flood) == WAITERS
        provider.gate.set()
        assert {request.result().status for request in flood} == {401, 503}
    assert provider.hits() == 2
    causes = [
        (line["issuer"], line["reason"])
        for line in service.log_lines()
        if line.get("code") == "credentials_invalid"
    ]
    assert causes == [("idp-0", "signature")] * WAITERS


@pytest.mark.sec(19)
def test_hanging_issuer_does_not_delay_another(
    tmp_path: Path, providers: tuple[IssuerDouble, IssuerDouble], pool: ThreadPoolExecutor
) -> None:
    """While requests wait for the keys of one issuer, users of another get tokens."""
    dead, healthy = providers
    dead.gate = threading.Event()
    with ExitStack() as stack:
        service = start(stack, tmp_path, dead, healthy)
        assert mint(service, healthy.token()).status == 200
        dead.wait_for_hits(dead.hits() + 1)  # a fetch has just started
        flood = [pool.submit(mint, service, dead.token()) for _ in range(FLOOD)]
        assert_rejected(flood)
        assert mint(service, healthy.token()).status == 200
        assert still_waiting(flood) == WAITERS
        dead.gate.set()
