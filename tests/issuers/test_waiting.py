"""A provider that hangs, at a running service: it takes no thread of those it is nothing to."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Answer, Client
from testing.service import Service, running_service

WAITERS = 2
"""Half of the default number of threads."""
FLOOD = 12


@pytest.fixture
def providers() -> Iterator[tuple[IssuerDouble, IssuerDouble]]:
    """Give two providers whose keys differ."""
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


def ask(service: Service, token: str) -> Answer:
    headers = {"Authorization": f"Bearer {token}"}
    return Client(service.base_url).post("/v1/token", headers=headers)


def assert_turned_away(flood: list[Future[Answer]]) -> None:
    """Wait for all who may not wait, and hold that they are told to come again."""
    for one in islice(as_completed(flood), FLOOD - WAITERS):
        answer = one.result()
        assert answer.code == "temporarily_unavailable"
        assert answer.headers["Retry-After"] == "1"


def still_waiting(flood: list[Future[Answer]]) -> int:
    """Count those whom only the end of the fetch answers: it hangs as long as there are any."""
    return [one.done() for one in flood].count(False)


@pytest.mark.sec(18)
def test_a_flood_of_unknown_keys_does_not_stop_known_ones(
    tmp_path: Path, providers: tuple[IssuerDouble, IssuerDouble], pool: ThreadPoolExecutor
) -> None:
    """While the fetch that a flood caused hangs, a user whose key is known gets a token."""
    provider, _ = providers
    with ExitStack() as stack:
        service = start(stack, tmp_path, provider)
        assert ask(service, provider.token()).status == 200
        provider.gate = threading.Event()
        forged = provider.sign(provider.claims(), header={"kid": "made-up"})
        flood = [pool.submit(ask, service, forged) for _ in range(FLOOD)]
        assert_turned_away(flood)
        assert ask(service, provider.token()).status == 200
        assert still_waiting(flood) == WAITERS
        provider.gate.set()
        assert {one.result().status for one in flood} == {401, 503}
    assert provider.hits() == 2
    causes = [
        (line["issuer"], line["reason"])
        for line in service.log_lines()
        if line.get("code") == "credentials_invalid"
    ]
    assert causes == [("idp-0", "signature")] * WAITERS


@pytest.mark.sec(19)
def test_a_dead_issuer_does_not_stop_a_healthy_one(
    tmp_path: Path, providers: tuple[IssuerDouble, IssuerDouble], pool: ThreadPoolExecutor
) -> None:
    """While requests wait for the keys of one that never answered, another's users get tokens."""
    dead, healthy = providers
    dead.gate = threading.Event()
    with ExitStack() as stack:
        service = start(stack, tmp_path, dead, healthy)
        assert ask(service, healthy.token()).status == 200
        dead.wait_for_hits(dead.hits() + 1)  # a fetch has just begun
        flood = [pool.submit(ask, service, dead.token()) for _ in range(FLOOD)]
        assert_turned_away(flood)
        assert ask(service, healthy.token()).status == 200
        assert still_waiting(flood) == WAITERS
        dead.gate.set()
