"""Requests without a credential that wait: a third of the threads, at least one, still mints."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from testing.account_world import AccountWorld
from testing.accounts import PASSWORD
from testing.response import Response
from testing.world import running_world
from tokensvc.core.waiting import NoWaitSlotError, WaitSlots

Sent = set[Future[Response]]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def send(world: AccountWorld, pool: ThreadPoolExecutor, path: str, count: int) -> Sent:
    """Send requests for users that do not exist, each on a connection of its own."""
    body = {"user_id": "chat-ada", "password": PASSWORD}
    return {pool.submit(world.anonymous.post, path, json=body) for _ in range(count)}


@pytest.mark.sec(71)
@pytest.mark.parametrize(("threads", "outside", "waiting"), [(2, 1, 1), (3, 1, 2), (8, 3, 4)])
def test_sign_ups_and_sign_ins_that_wait_leave_threads_for_mints(
    tmp_path: Path, pool: ThreadPoolExecutor, threads: int, outside: int, waiting: int
) -> None:
    """Sign-ups wait for Stream, sign-ins for the database; one more is refused immediately."""
    settings = {
        "TOKENSVC_ACCOUNTS__ENABLED": "true",
        "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
        "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "chat-",
        "TOKENSVC_ISSUERS": "[]",
        "TOKENSVC_SHARED_USER_IDS": "false",
        "TOKENSVC_THREADS": str(threads),
    }
    with running_world(tmp_path, AccountWorld, **settings) as world:
        world.backend.post("/v1/token", json={"user_id": "bob"})  # opens its connection
        hanging = world.stream.faults.hang("GET /users", times=None)
        held = send(world, pool, "/v1/accounts", outside)
        world.stream.calls.wait_for("GET", "/users", outside)
        with world.database.write():
            sign_ins = send(world, pool, "/v1/sessions", waiting - outside + 1)
            (refused,), held_here = wait(sign_ins, return_when=FIRST_COMPLETED)
            assert refused.result().code == "temporarily_unavailable"
            assert world.backend.post("/v1/token", json={"user_id": "bob"}).status == 200
            assert [request.done() for request in held | held_here] == [False] * waiting
        hanging.release()


@pytest.mark.sec(71)
def test_sign_ins_leave_a_slot_to_ask_a_service_outside() -> None:
    """Guesses do not stop the fetch of an issuer's keys, also from an address that is known."""
    slots = WaitSlots(5, for_passwords=2, for_known=1, for_outside=1)

    def hold(slot: AbstractContextManager[None]) -> None:
        with ThreadPoolExecutor(1) as thread:  # a thread gets one slot
            thread.submit(held.enter_context, slot).result()

    with ExitStack() as held:
        for _ in range(4):
            hold(slots.password(known=True))
        with pytest.raises(NoWaitSlotError):
            hold(slots.password(known=True))
        hold(slots.outside())
