"""The service without its database, or with one that it cannot write."""

import resource

import pytest

from testing.runs import stuck
from testing.service import STREAM_API_KEY
from testing.waiting import wait_until
from testing.world import running_world

pytestmark = pytest.mark.slow


@pytest.mark.sec(65)
@pytest.mark.parametrize("name", ["database stopped", "database refuses"])
def test_mints_without_the_database_get_503_and_work_after_its_return(name: str) -> None:
    """A short form of `python -m proofs.stuck`, which also judges the times."""
    (figures,) = stuck.prove([name])
    assert figures.has_expected_states, "\n".join(figures.lines())
    assert figures.logged["database_breaker_opened"] == 1
    assert figures.logged["database_breaker_closed"] == 1


def test_full_disk_fails_only_what_writes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No file of the worker can grow over 2 MiB, as on a full disk; then it can again."""
    with running_world(tmp_path_factory.mktemp("full")) as world:
        ada = world.signed_in("ada")
        (worker,) = world.service.worker_pids()
        before = resource.prlimit(worker, resource.RLIMIT_FSIZE, (2 * 2**20, -1))
        responses = [world.revoke("bob")]
        while responses[-1].status == 200:
            responses.append(world.revoke("bob"))
        assert (responses[-1].status, responses[-1].code) == (503, "temporarily_unavailable")
        assert ada.post("/v1/token", json={"api_key": STREAM_API_KEY}).status == 200
        assert world.anonymous.get("/readyz").status == 200
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
        wait_until(lambda: world.revoke("bob").status == 200, "revocations work again")
