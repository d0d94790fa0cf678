"""Failed sign-ins of one network: they stop the next ones there, but no account that knows it."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from testing.account_world import running_account_world
from tests.sign_in.passwords_over_http import PasswordServiceWorld

HOME, ELSEWHERE = "192.0.2.7", "198.51.100.1"
OFFICE, BOTNET = "192.0.2.8", "198.51.100.2"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield a service behind a proxy with low limits. Each test uses its own networks."""
    settings = {
        "TOKENSVC_PROXIES__TRUSTED": '["127.0.0.1/32"]',
        "TOKENSVC_LIMITS__SIGN_IN": "3/hour",
        "TOKENSVC_LIMITS__SIGN_IN_56": "4/hour",
        "TOKENSVC_LIMITS__SIGN_IN_48": "6/hour",
    }
    folder = tmp_path_factory.mktemp("service")
    with running_account_world(folder, PasswordServiceWorld, **settings) as world:
        yield world


def sign_in(world, address, user_id="unknown-user", **options):
    return world.sign_in(user_id, headers={"X-Forwarded-For": address}, **options)


def fail(world, address, times=1):
    """Fail to sign in as another user each time, so that no counter of a user delays it."""
    for number in range(times):
        assert sign_in(world, address, f"unknown-{number}-{address}").status == 401


def problem(response):
    return {name: value for name, value in response.json.items() if name != "request_id"}


@pytest.mark.sec(71)
def test_user_signs_in_at_a_known_address_that_others_have_used_up(world):
    for user_id in ("ann", "ned"):
        world.create(user_id)
    assert sign_in(world, HOME, "ann").status == 200
    fail(world, HOME, 3)
    refused = [
        sign_in(world, HOME, "ann", password="wrong"),
        sign_in(world, HOME, "ned"),
        sign_in(world, HOME, "unknown-user"),
    ]
    assert [response.code for response in refused] == ["rate_limited"] * 3
    assert problem(refused[0]) == problem(refused[1]) == problem(refused[2])
    assert sign_in(world, HOME, "ann").status == 200
    assert sign_in(world, ELSEWHERE, "ned").status == 200


@pytest.mark.sec(42, 71)
def test_failures_of_one_ipv6_customer_are_counted_together(world):
    """Each of its 2^16 networks of 64 bits would otherwise have a limit of its own."""
    for subnet in range(4):
        fail(world, f"2001:db8:1:{subnet:x}::1")
    assert sign_in(world, "2001:db8:1:4::1").code == "rate_limited"  # the /56 is used up
    fail(world, "2001:db8:1:100::1", 2)
    refused = sign_in(world, "2001:db8:1:200::1")  # the /48 is used up
    assert (refused.code, "this network" in refused.json["detail"]) == ("rate_limited", True)
    fail(world, "2001:db8:2::1")


@pytest.mark.sec(43, 71)
def test_sign_ins_that_wait_leave_a_place_for_addresses_that_the_account_knows(world):
    """Of 8 threads 5 may wait: one only for such a sign-in, one only for services outside."""
    world.create("zoe")
    assert sign_in(world, OFFICE, "zoe").status == 200

    def sign_in_at(user_id, address):
        return pool.submit(sign_in, world, address, user_id)

    with ThreadPoolExecutor() as pool:
        with world.database.write():  # their counts wait for it
            others = [sign_in_at(f"absent-{number}", BOTNET) for number in range(4)]
            (refused,), waiting = wait(others, return_when=FIRST_COMPLETED)
            known, unknown = sign_in_at("zoe", OFFICE), sign_in_at("absent", OFFICE)
            assert unknown.result().code == "temporarily_unavailable"
        assert refused.result().code == "temporarily_unavailable"
        assert known.result().status == 200
        assert {request.result().code for request in waiting} == {"credentials_invalid"}
