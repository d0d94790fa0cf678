"""The short form of the crash proof: `python -m proofs.crash` is the long one."""

import pytest

from proofs import crash


@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_acts_survive_crashes(database, seed):
    """Killed a few times in full work, with a Stream that fails one call in three."""
    figures = crash.prove(4, database=database, seed=seed, hurry=True)
    assert figures.holds, "\n".join(figures.lines())
