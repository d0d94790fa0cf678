"""What was used, in memory."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.keys.store import HOUR
from tokensvc.upkeep.usage import Figures, Usage


@pytest.fixture
def usage(clock):
    return Usage(clock)


def test_a_use_is_dated_by_its_minute(usage, clock):
    """The latest counts, at the beginning of its minute."""
    clock.now = 1_800_000_000.0 + 59.9
    usage.secret_used("sec_a")
    usage.secret_used("sec_b")
    clock.now += 0.1
    usage.secret_used("sec_b")
    assert usage.take().secrets == {"sec_a": 1_800_000_000, "sec_b": 1_800_000_060}


def test_mints_are_counted_by_the_hour(usage, clock):
    """Each in the hour that it happened in."""
    clock.now = 1_800_000_000.0 + HOUR - 0.1
    usage.minted_unnamed()
    usage.minted_unnamed()
    clock.now += 0.1
    usage.minted_unnamed()
    assert usage.take().unnamed_mints == {1_800_000_000: 2, 1_800_003_600: 1}


def test_what_is_taken_is_taken_once(usage):
    """The next taker finds nothing, unless there is something new."""
    usage.secret_used("sec_a")
    usage.minted_unnamed()
    assert usage.take()
    assert not usage.take()
    usage.minted_unnamed()
    assert usage.take().secrets == {}


events = st.lists(
    st.tuples(st.integers(0, 3 * HOUR), st.sampled_from(["sec_a", "sec_b", None])), max_size=30
)


@given(rounds=st.lists(events, max_size=4))
def test_figures_that_are_put_back_are_as_if_never_taken(rounds):
    """Whatever happens in between, nothing is lost and nothing counts twice."""
    now = [0]
    usage = Usage(lambda: float(now[0]))
    for happened in rounds:
        taken = usage.take()
        for at, secret_id in happened:
            now[0] = max(now[0], at)
            if secret_id is None:
                usage.minted_unnamed()
            else:
                usage.secret_used(secret_id)
        usage.put_back(taken)
    expected = Usage(lambda: float(now[0]))
    now[0] = 0
    for at, secret_id in (event for happened in rounds for event in happened):
        now[0] = max(now[0], at)
        if secret_id is None:
            expected.minted_unnamed()
        else:
            expected.secret_used(secret_id)
    assert usage.take() == expected.take()


class Slow(dict[int, int]):
    """A dictionary that lets other threads in between a look and what follows from it."""

    def get(self, *args):
        found = super().get(*args)
        time.sleep(0.001)
        return found


def test_no_use_is_lost_between_threads(usage):
    """Of several that count while one takes, each is in exactly one taking."""
    taken = []

    def count(_):
        for _ in range(20):
            usage.minted_unnamed()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            usage._figures = Figures({}, Slow())
            counting = [pool.submit(count, n) for n in range(4)]
            while not all(each.done() for each in counting):
                taken.append(usage.take())
                time.sleep(0.01)
            taken.append(usage.take())
    assert sum(sum(figures.unnamed_mints.values()) for figures in taken) == 160
