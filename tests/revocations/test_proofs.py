"""Short forms of the proofs `leak`, `sessions`, `second`, `clocks` and `latency`."""

from collections import Counter
from dataclasses import replace

import pytest

from testing.runs import clocks, latency, leak, second, sessions
from testing.runs.latency_users import LAYERS

pytestmark = pytest.mark.slow

DATABASES = ["sqlite", "postgresql"]


@pytest.mark.sec(32)
@pytest.mark.parametrize("database", DATABASES)
def test_no_mint_succeeds_after_the_response_to_a_revocation(database):
    """Every worker refuses from the response on, and Stream refuses tokens from before it."""
    figures = leak.prove(database, trials=10, everyone=1)
    assert figures.holds, "\n".join(figures.lines())


@pytest.mark.parametrize("database", DATABASES)
def test_no_request_succeeds_after_the_end_of_a_session(database):
    """Whatever ended it: no mint, no other route, no refresh, at any worker."""
    figures = sessions.prove(database, trials=36)
    assert figures.holds, "\n".join(figures.lines())


@pytest.mark.parametrize(("database", "offsets"), [("sqlite", 10), ("postgresql", 2)])
def test_new_sign_in_works_at_each_tenth_of_a_second(database, offsets):
    """Stream accepts the new token and refuses the old one. The databases have different clocks."""
    figures = second.prove(database, offsets=offsets)
    assert figures.holds, "\n".join(figures.lines())


def test_broken_trial_fails_the_proof(monkeypatch):
    """A trial breaks, or ends before its tokens were shown to Stream."""

    def cut(stream, minted):
        raise ConnectionError("cut")

    monkeypatch.setattr(second, "connects", cut)
    figures = second.prove("sqlite", offsets=1)
    assert {figures.outcomes[kind, "minted"] for kind in second.SIGN_INS} == {1}
    assert sorted(figures.failures) == sorted(
        f"{kind}, offset 0: broke: ConnectionError('cut')" for kind in second.SIGN_INS
    )
    assert not figures.holds
    figures.failures.clear()
    assert not figures.holds


@pytest.mark.sec(32)
def test_no_mint_succeeds_with_different_clocks_and_slow_commits():
    figures = clocks.prove(1)
    assert figures.holds, "\n".join(figures.lines())


@pytest.mark.sec(32)
def test_every_layer_ends_and_nothing_is_minted_or_refreshed_after_the_response():
    """Also while Stream fails, and while many others are suspended."""
    figures = latency.prove("sqlite", trials=1, suspensions=50, longest=20)
    assert figures.holds, "\n".join(figures.lines())


CLOCKS = clocks.Figures(
    dated=set(clocks.OFFSETS),
    after=Counter(sign_in_required=1),
    before=2,
    in_flight=1,
    slow_actions=1,
    shifts=[4],
)
LEAK = leak.Figures(
    "sqlite",
    workers=2,
    wanted={"revocation": 1},
    outcomes=Counter({("revocation", "sign_in_required"): 1}),
    in_flight={"ada": ["a token"]},
)
TIMES = {(condition, layer): [0.0] for condition in latency.CONDITIONS for layer in LAYERS}
LATENCY = latency.Figures("sqlite", trials=1, wanted=2, times=TIMES, faults=1, suspensions=2)


@pytest.mark.parametrize(
    ("proved", "missing"),
    [
        (CLOCKS, {"dated": {0.0}}),
        (CLOCKS, {"after": Counter()}),
        (CLOCKS, {"after": Counter(minted=1)}),
        (CLOCKS, {"before": 1}),
        (CLOCKS, {"in_flight": 0}),
        (CLOCKS, {"slow_actions": 0, "shifts": []}),
        (CLOCKS, {"shifts": [1, 4]}),
        (CLOCKS, {"too_new": 1}),
        (LEAK, {"outcomes": Counter()}),
        (LEAK, {"outcomes": Counter({("revocation", "minted"): 1})}),
        (LEAK, {"outcomes": Counter({("revocation", "temporarily_unavailable"): 1})}),
        (LEAK, {"in_flight": {}}),
        (LEAK, {"accepted": 1}),
        (LEAK, {"broken": 1}),
        (LATENCY, {"times": TIMES | {(latency.QUIET, LAYERS[-1]): []}}),
        (LATENCY, {"faults": 0}),
        (LATENCY, {"suspensions": 1}),
        (LATENCY, {"failures": ["broke"]}),
    ],
)
def test_run_that_missed_a_case_fails_the_proof(proved, missing):
    """Each case that could leak must have occurred."""
    assert proved.holds
    assert not replace(proved, **missing).holds
