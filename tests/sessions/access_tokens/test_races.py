"""Several threads and processes rotate at the same moment: the result is that of one."""

import threading

import pytest

from testing.database_url import url_of
from testing.manual_clock import ManualClock
from testing.processes import FORK_SERVER
from tests.sessions.access_tokens.signing import PERIODS, UNTIL_ACTIVE, UNTIL_RETIRED, SigningWorld
from tests.stream.keys.ring import CONTEXT, ENCRYPTION_KEY, events
from tokensvc.database.engine import Database
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.vault.vault import Vault

PROCESSES = 2
THREADS = 4


def step_repeatedly(url, encryption_key, times, barrier, failures):
    """Rotate in several threads of a process, once at each of the times."""
    database = Database.open(url, pool_size=THREADS)
    clock = ManualClock()
    rotation = SigningKeyRotation(database, clock, Vault([encryption_key]), PERIODS)

    def run():
        try:
            for now in times:
                barrier.wait(60)
                clock.now = now
                rotation.step()
                rotation.rotate(CONTEXT)
        except BaseException as error:
            barrier.abort()
            failures.put(repr(error))
            raise

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()


@pytest.mark.sec(37)
def test_simultaneous_rotations_make_activate_and_retire_each_key_once(database):
    world = SigningWorld(database)
    start = world.clock.now
    # First key; its successor becomes active and gets one; the first key is retired.
    times = [start, start + UNTIL_ACTIVE, start + 2 * UNTIL_ACTIVE + UNTIL_RETIRED]
    barrier, failures = FORK_SERVER.Barrier(PROCESSES * THREADS), FORK_SERVER.Queue()
    processes = [
        FORK_SERVER.Process(
            target=step_repeatedly,
            args=(url_of(database), ENCRYPTION_KEY, times, barrier, failures),
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert failures.empty(), failures.get()
    assert world.states() == ["retired", "retiring", "active", "standby"]
    actions = [action.removeprefix("signing_key:") for _, action, *_ in events(database)]
    assert sorted(actions) == sorted(["added"] * 4 + ["activated", "retiring"] * 2 + ["retired"])
