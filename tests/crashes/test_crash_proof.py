"""The short form of the crash proof: `python -m proofs.crash` is the long one."""

import pytest

from proofs import crash
from proofs.acting import Subject


@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_acts_survive_crashes(database, seed):
    """Killed a few times in full work, with a Stream that fails one call in three."""
    figures = crash.prove(4, database=database, seed=seed, hurry=True)
    assert figures.holds, "\n".join(figures.lines())


def test_a_profile_whose_answer_was_lost_may_be_there_or_not():
    """None at all is right only until one was answered."""
    ada = Subject("ada")
    ada.lost("profile", "first")
    assert ada.names == {None, "first"}
    ada.answered("profile", "second", None)
    ada.lost("profile", "third")
    assert ada.names == {"second", "third"}
