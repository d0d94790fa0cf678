"""The short form of `python -m proofs.restore`."""

from dataclasses import replace

import pytest

from testing.runs.restore import CHECKS, Figures, prove

pytestmark = pytest.mark.slow


@pytest.mark.sec(66)
def test_what_was_refused_is_refused_after_a_restore():
    """On PostgreSQL only at length, as `python -m proofs.restore`."""
    figures = prove("sqlite", kills=2, seed=1)
    assert all(figures.checks.values()), "\n".join(figures.lines())
    assert len(figures.checks) == CHECKS


PROVED = Figures("sqlite", wanted=1, killed=1, checks={str(n): True for n in range(CHECKS)})


@pytest.mark.parametrize(
    "missing",
    [{"killed": 0}, {"checks": {}}, {"checks": PROVED.checks | {"0": False}}],
)
def test_run_without_a_kept_promise_does_not_hold(missing):
    assert PROVED.holds
    assert not replace(PROVED, **missing).holds
