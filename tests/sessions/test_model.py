"""The short form of `python -m proofs.session_model`."""

import pytest

from testing.runs import session_model


@pytest.mark.slow
@pytest.mark.sec(27, 29, 30, 31)
def test_database_follows_the_model_in_random_interleavings():
    """On PostgreSQL only at length, and each time with other interleavings."""
    figures = session_model.prove("sqlite", interleavings=30, repeatable=True)
    assert figures.holds, "\n".join(figures.lines())
