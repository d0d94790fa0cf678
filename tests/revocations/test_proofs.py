"""The short forms of `python -m proofs.leak`, `proofs.second` and `proofs.clocks`."""

import pytest

from proofs import clocks, leak, second

DATABASES = ["sqlite", "postgresql"]


@pytest.mark.sec(32)
@pytest.mark.parametrize("database", DATABASES)
def test_nobody_mints_after_the_answer(database):
    """Every worker refuses from the answer on, and Stream what was answered in between."""
    figures = leak.prove(database, trials=80, everyone=3)
    assert figures.holds, "\n".join(figures.lines())


@pytest.mark.parametrize("database", DATABASES)
def test_signing_in_after_a_revocation_works_whenever_it_is(database):
    """At each tenth of a second the new token is one that Stream takes, and the old one is not."""
    figures = second.prove(database, offsets=10)
    assert figures.holds, "\n".join(figures.lines())


def test_a_trial_that_breaks_proves_nothing(monkeypatch):
    """Whether it breaks or ends before it has shown its tokens to Stream."""

    def cut(stream, minted):
        raise ConnectionError("cut")

    monkeypatch.setattr(second, "connects", cut)
    figures = second.prove("sqlite", offsets=1)
    assert [figures.outcomes[way, "minted"] for way in second.WAYS] == [1, 1, 1]
    assert sorted(figures.faults) == sorted(
        f"{way}, offset 0: broke: ConnectionError('cut')" for way in second.WAYS
    )
    assert not figures.holds
    figures.faults.clear()
    assert not figures.holds


@pytest.mark.sec(32)
def test_clocks_that_differ_leak_nothing():
    """Neither do commits that take long."""
    figures = clocks.prove(1)
    assert figures.holds, "\n".join(figures.lines())
