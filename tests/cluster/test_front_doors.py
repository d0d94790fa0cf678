"""The shipped nginx and HAProxy: a short form of `python -m proofs.front_doors`."""

import os

import pytest

from testing.front_doors import program
from testing.runs import front_doors

pytestmark = pytest.mark.slow


@pytest.mark.skipif(
    not all(map(program, front_doors.BALANCERS)) and "CI" not in os.environ,
    reason="nginx or HAProxy is not installed",
)
def test_faults_behind_a_balancer_fail_no_request() -> None:
    """No client notices a killed instance; without the database the service itself refuses."""
    for figures in front_doors.prove(requests=10, pause=0.2):
        assert figures.holds, "\n".join(figures.lines())
