"""The short form of `python -m proofs.crash`."""

from collections import Counter
from dataclasses import replace

import pytest

from testing.runs import crash
from testing.runs.crash_actors import Subject
from testing.runs.crash_figures import GAPS, PAIRS, Figures

pytestmark = pytest.mark.slow


def test_actions_survive_crashes():
    """On PostgreSQL only at length: the proof takes most of its time to start services."""
    figures = crash.prove(4, database="sqlite", seed=1, hurry=True)
    assert figures.holds, "\n".join(figures.lines())


PROVED = Figures(
    wanted=2,
    kills=2,
    actions=Counter({"revoke": 9, "undo": 2, "renew": 1, "log_out": 1}),
    pairs=Counter(PAIRS),
    in_flight=1,
    gaps=Counter(GAPS),
    checks=9,
    sessions=Counter(live=1, ended=1),
    faults=Counter(cut=1),
    compared=4,
    applied=1,
    erased=1,
    devices=1,
)


@pytest.mark.parametrize(
    "missing",
    [
        {"wanted": 0, "kills": 0},
        {"kills": 1},
        {"actions": Counter(revoke=9, renew=1)},
        {"actions": Counter(revoke=9, log_out=1)},
        {"in_flight": 0},
        *({"gaps": Counter(GAPS) - Counter([gap])} for gap in GAPS),
        {"sessions": Counter(live=2)},
        {"pairs": Counter(PAIRS[:1])},
        {"pairs": Counter(PAIRS[1:])},
        {"checks": 0},
        {"faults": Counter()},
        {"compared": 0},
        {"applied": 0},
        {"erased": 0},
        {"devices": 0},
        {"wrong_here": ["something"]},
        {"wrong_at_stream": ["something"]},
        {"failures": ["something"]},
    ],
)
def test_run_without_a_checked_case_does_not_hold(missing):
    assert PROVED.holds
    assert not replace(PROVED, **missing).holds


def test_profile_with_lost_response_may_be_stored_or_not():
    """No profile is possible only until the first response."""
    ada = Subject("ada")
    ada.lose("profile", "first")
    assert ada.names == {None, "first"}
    ada.confirm("profile", "second", None)
    ada.lose("profile", "third")
    assert ada.names == {"second", "third"}
