"""The service while its name server does not respond, in short forms of a proof."""

import pytest

from testing.name_server import NameServer
from testing.runs import stuck

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sec(65),
    pytest.mark.skipif(not NameServer.can_run(), reason="only root can replace the name server"),
]


def test_mints_continue_while_the_name_of_redis_is_not_found() -> None:
    (figures,) = stuck.prove(["name server silent, for redis"])
    assert figures.has_expected_states, "\n".join(figures.lines())
    assert figures.logged["limiter_redis_failed"] == 1


def test_mints_get_503_while_the_name_of_the_database_is_not_found() -> None:
    """They work again after the name server's return."""
    (figures,) = stuck.prove(["name server silent, for the database"])
    assert figures.has_expected_states, "\n".join(figures.lines())
    assert figures.logged["database_breaker_opened"] == 1
