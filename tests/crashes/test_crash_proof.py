"""The short form of the crash proof: `python -m proofs.crash` is the long one."""

from collections import Counter
from dataclasses import replace

import pytest

from testing.runs import crash
from testing.runs.crash_actors import Subject
from testing.runs.crash_figures import PAIRS, Figures

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_acts_survive_crashes(database, seed):
    """Killed a few times in full work, with a Stream that fails one call in three."""
    figures = crash.prove(4, database=database, seed=seed, hurry=True)
    assert figures.holds, "\n".join(figures.lines())


PROVED = Figures(
    wanted=2,
    kills=2,
    acts=Counter(revoke=9, undo=2),
    pairs=Counter(PAIRS),
    under_way=1,
    checks=9,
    faults=Counter(cut=1),
    compared=4,
    applied=1,
)


@pytest.mark.parametrize(
    "missing",
    [
        {"wanted": 0, "kills": 0},
        {"kills": 1},
        {"acts": Counter()},
        {"under_way": 0},
        {"pairs": Counter(PAIRS[:1])},
        {"pairs": Counter(PAIRS[1:])},
        {"checks": 0},
        {"faults": Counter()},
        {"compared": 0},
        {"applied": 0},
        {"wrong_here": ["something"]},
        {"wrong_at_stream": ["something"]},
        {"failures": ["something"]},
    ],
)
def test_a_run_in_which_nothing_could_go_wrong_proves_nothing(missing):
    """Every kind of thing that is to survive must have been there, and looked at."""
    assert PROVED.holds
    assert not replace(PROVED, **missing).holds


def test_a_profile_whose_answer_was_lost_may_be_there_or_not():
    """None at all is right only until one was answered."""
    ada = Subject("ada")
    ada.lost("profile", "first")
    assert ada.names == {None, "first"}
    ada.answered("profile", "second", None)
    ada.lost("profile", "third")
    assert ada.names == {"second", "third"}
