"""Hashes in a fixed number of threads: bounded in parallelism, in the queue and in waiting."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2.low_level import Type, hash_secret

from testing.accounts import PASSWORD
from testing.waiting import wait_until
from tokensvc.accounts.passwords import hashing
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher, needs_rehash
from tokensvc.core import waiting
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots

LONG = 3600.0
"""A wait that no test reaches."""


@pytest.fixture
def pool():
    pool = HashingPool(2, WaitSlots(10))
    yield pool
    pool.close()


@pytest.fixture
def hasher(pool):
    return PasswordHasher(pool)


class Blocked:
    """A pool whose only thread is occupied until `release` is set."""

    def __init__(self, max_waiting, max_wait):
        self.pool = HashingPool(1, WaitSlots(1 + max_waiting), max_wait=max_wait)
        self.release = threading.Event()
        self.clients = ThreadPoolExecutor()
        started = threading.Event()

        def work():
            started.set()
            return self.release.wait()

        self.first = self.clients.submit(self.pool.run, work)
        started.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.clients.shutdown()
        self.pool.close()


@pytest.mark.sec(41)
def test_password_is_verified_against_its_hash(hasher):
    stored = hasher.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.verify(stored, PASSWORD)
    assert not hasher.verify(stored, PASSWORD + "x")


@pytest.mark.sec(41)
def test_two_hashes_of_one_password_differ(hasher):
    assert hasher.hash(PASSWORD) != hasher.hash(PASSWORD)


@pytest.mark.sec(39)
def test_every_form_of_the_password_is_the_same_password(hasher):
    stored = hasher.hash("Cafe\u0301 au lait")
    assert hasher.verify(stored, "Café au lait")
    assert hasher.verify(stored, "Cafe\u0301 au lait")


@pytest.mark.sec(39)
def test_end_of_a_long_password_counts(hasher):
    stored = hasher.hash("x" * 256)
    assert hasher.verify(stored, "x" * 256)
    assert not hasher.verify(stored, "x" * 255)


@pytest.fixture
def compared(monkeypatch):
    """Return a list of the hashes that were compared with a password."""
    hashes = []

    def record(stored, password):
        hashes.append(stored)
        return False

    monkeypatch.setattr(hashing, "verify_hash", record)
    return hashes


@pytest.mark.sec(38)
@pytest.mark.parametrize("stored", [None, "", "broken", "$argon2id$v=19$m=9999999,t=2,p=1$c2$c2"])
def test_unknown_user_is_compared_with_a_hash_of_the_same_cost(hasher, compared, stored):
    """Also a stored hash that is too expensive, which only a change of the database can cause."""
    own = hasher.hash(PASSWORD)
    assert not hasher.verify(stored, PASSWORD)
    assert not hasher.verify(own, PASSWORD)
    (unknown, real) = compared
    assert real == own
    assert unknown.split("$")[:4] == own.split("$")[:4]
    assert [len(part) for part in unknown.split("$")] == [len(part) for part in own.split("$")]


def test_no_password_is_that_of_an_unknown_user(hasher):
    assert not hasher.verify(None, PASSWORD)
    assert not hasher.verify(None, "")


@pytest.mark.sec(41)
def test_only_other_parameters_need_a_new_hash(hasher):
    own = hasher.hash(PASSWORD)
    other = hash_secret(b"x", b"saltsaltsalt", 3, 19456, 1, 32, Type.ID).decode()
    assert not needs_rehash(own)
    assert needs_rehash(other)
    assert needs_rehash("$2b$10$" + "." * 53)


@pytest.mark.sec(43)
def test_never_more_hashes_at_the_same_time_than_threads():
    """So the memory stays the same under any number of sign-ins."""
    pool = HashingPool(2, WaitSlots(202), max_wait=LONG)
    lock = threading.Lock()
    running = highest = 0
    both = threading.Barrier(2)

    def work():
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        both.wait()  # two run at the same time
        with lock:
            running -= 1

    with ThreadPoolExecutor(200) as clients:
        for request in [clients.submit(pool.run, work) for _ in range(200)]:
            request.result()
    pool.close()
    assert highest == 2


def assert_busy(refused):
    assert isinstance(refused, Refusal)
    assert refused.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.retry_after == 2


@pytest.mark.sec(43)
def test_request_without_a_place_in_the_queue_is_refused_immediately():
    with Blocked(max_waiting=1, max_wait=LONG) as blocked:
        waiting = blocked.clients.submit(blocked.pool.run, lambda: "done")
        queue = blocked.pool._executor._work_queue
        wait_until(lambda: not queue.empty(), "the second request waits")
        refused = blocked.clients.submit(blocked.pool.run, lambda: "too many")
        assert_busy(refused.exception(timeout=60))
        blocked.release.set()
        assert waiting.result() == "done"


@pytest.mark.sec(43)
def test_request_that_gets_no_thread_in_time_is_refused_and_never_runs():
    ran = []
    with Blocked(max_waiting=1, max_wait=0.01) as blocked:
        for _ in range(3):  # each frees its place
            with pytest.raises(Refusal) as refused:
                blocked.pool.run(lambda: ran.append(1))
            assert_busy(refused.value)
    assert ran == []


def test_request_that_has_a_thread_gets_its_result():
    """The time limit is for waiting, not for the hash."""
    with Blocked(max_waiting=0, max_wait=0.01) as blocked:
        with pytest.raises(TimeoutError):
            blocked.first.result(timeout=0.05)
        blocked.release.set()
        assert blocked.first.result() is True


def test_failure_of_the_work_is_raised_and_frees_its_place(pool):
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            pool.run(lambda: 1 / 0)
    assert pool.run(lambda: "done") == "done"


def test_wait_is_announced_before_it_begins(pool):
    """The server then lets another thread read from its clients."""
    events = []
    waiting.set_hook(lambda: bool(events.append("announced")) or True)
    try:
        pool.run(lambda: events.append("hashed"))
    finally:
        waiting.set_hook(lambda: True)
    assert events == ["announced", "hashed"]


WITHOUT_MEMORY = """
import resource
from tokensvc.accounts.passwords.foreign_hashes import verify_hash
from tokensvc.accounts.passwords.hashing import _hash
from tokensvc.core.errors import Refusal

stored = _hash(b"x")
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 8 * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for compute in (lambda: verify_hash(stored, "x"), lambda: _hash(b"x")):
    try:
        compute()
    except Refusal as refusal:
        print(refusal.code.value, refusal.retry_after)
"""


def test_hash_without_memory_is_an_outage():
    """Neither an internal error nor a wrong password."""
    process = [sys.executable, "-c", WITHOUT_MEMORY]
    ended = subprocess.run(process, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["temporarily_unavailable 2"] * 2, ended.stderr
