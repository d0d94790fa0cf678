"""Sign-in over HTTP: responses, log, audit trail and metrics."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from testing.account_world import running_account_world
from testing.accounts import PASSWORD
from tests.sign_in.passwords_over_http import PasswordServiceWorld


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield one service. Each test uses its own users."""
    with running_account_world(tmp_path_factory.mktemp("service"), PasswordServiceWorld) as world:
        yield world


def body_of(response):
    """Return the body of a problem without the ID of its request."""
    return {name: value for name, value in response.json.items() if name != "request_id"}


def test_sign_in_returns_the_tokens_of_a_session(world):
    world.create("ada")
    response = world.sign_in("ada")
    assert response.status == 200
    assert response.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (response.json["token_type"], response.json["expires_in"]) == ("Bearer", 600)
    assert response.headers["Cache-Control"] == "no-store"
    (event,) = world.events("ada")
    assert (event["actor"], event["outcome"]) == ("ada", "ok")
    assert event["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.sec(38)
def test_unknown_user_and_wrong_password_get_the_same_response(world):
    world.create("ben")
    of_user, of_unknown = world.sign_in("ben", "wrong"), world.sign_in("unknown-user", "wrong")
    assert (of_user.status, of_user.code) == (401, "credentials_invalid")
    assert of_unknown.status == 401
    assert body_of(of_user) == body_of(of_unknown)
    varying = {"X-Request-Id", "RateLimit", "Date"}
    assert {*of_user.headers.items()} ^ {*of_unknown.headers.items()} <= {
        (name, value)
        for response in (of_user, of_unknown)
        for name, value in response.headers.items()
        if name in varying
    }


@pytest.mark.sec(38)
def test_suspended_user_gets_403_for_the_right_password_only(world):
    world.create("ian")
    world.operator.request("PUT", "/v1/users/ian/suspension")
    right, wrong = world.sign_in("ian"), world.sign_in("ian", "wrong")
    assert (right.status, right.code) == (403, "user_suspended")
    assert (wrong.status, wrong.code) == (401, "credentials_invalid")
    assert body_of(wrong) == body_of(world.sign_in("unknown-user-2", "wrong"))
    events = [(event["outcome"], event["details"]["cause"]) for event in world.events("ian")]
    assert events == [("refused", "wrong password"), ("refused", "suspended")]
    world.operator.request("DELETE", "/v1/users/ian/suspension")
    assert world.sign_in("ian").status == 200


def fail_until_delayed(world, user_id):
    """Return the responses to wrong passwords. A slow machine needs more than six."""
    responses = [world.sign_in(user_id, "wrong")]
    while responses[-1].status == 401:
        responses.append(world.sign_in(user_id, "wrong"))
    return responses


@pytest.mark.sec(42)
def test_locked_id_gets_429_whether_it_exists_or_not(world):
    world.create("eve")
    locked = [fail_until_delayed(world, user_id)[-1] for user_id in ("eve", "absent")]
    for response in locked:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
    assert body_of(locked[0]) == body_of(locked[1])


def test_sign_ins_are_counted_by_result(world):
    world.create("kim")
    before = {name: world.metric(name) for name in ("ok", "refused", "delayed")}
    world.sign_in("kim")
    failed = fail_until_delayed(world, "kim-2")
    after = {name: world.metric(name) - count for name, count in before.items()}
    assert after == {"ok": 1, "refused": len(failed) - 1, "delayed": 1}


@pytest.mark.sec(58)
def test_log_and_audit_trail_have_neither_passwords_nor_unknown_ids(world):
    world.create("joe")
    secret, mistaken = "wrong secret password 1", "my-mistaken-password"
    assert world.sign_in("joe", secret).status == 401
    assert world.sign_in(mistaken, secret).status == 401
    assert world.sign_in("joe").status == 200
    written = Path(world.service.log_path).read_text() + json.dumps(
        world.operator.get("/v1/audit", query={"limit": 200}).json
    )
    for text in (secret, mistaken, PASSWORD):
        assert text not in written
    lines = [line for line in world.log("request") if line["route"] == "/v1/sessions"]
    assert [line.get("reason") for line in lines[-3:]] == ["wrong password", "unknown user", None]
    assert [line["user_id"][:8] for line in lines[-3:]] == ["joe", "unknown:", "joe"]


@pytest.mark.sec(49)
def test_second_credential_is_refused(world):
    response = world.sign_in("ada", headers={"Authorization": "Bearer token"}, valid=False)
    assert response.status == 400
    assert "two credentials" in response.json["detail"]


@pytest.mark.parametrize(
    "member",
    [
        {"client_id": "two words"},
        {"client_id": "app\n"},
        {"client_id": ""},
        {"client_id": "x" * 65},
        {"user_id": ""},
        {"user_id": "a\0"},
        {"user_id": "x" * 256},
        {"password": None},
        {"username": "ada"},
    ],
)
def test_invalid_member_is_named(world, member):
    body = {"user_id": "ada", "password": "wrong", **member}
    response = world.anonymous.post("/v1/sessions", json=body, valid=False)
    assert response.status == 400
    assert next(iter(member)) in response.json["detail"]


def test_password_in_the_query_is_refused_as_leaked(world):
    query = {"user_id": "ada", "password": PASSWORD}
    response = world.anonymous.post("/v1/sessions", query=query, valid=False)
    assert response.status == 400
    assert "leaked" in response.json["detail"]


def peak_memory(world):
    """Return the highest memory that the worker ever had, in KiB."""
    (pid,) = world.service.worker_pids()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


@pytest.mark.sec(43)
def test_two_hundred_sign_ins_at_the_same_moment_use_the_memory_of_the_hashing_threads(tmp_path):
    """Each hash needs 19 MiB; 32 requests run at the same time."""
    with running_account_world(tmp_path, PasswordServiceWorld, TOKENSVC_THREADS="32") as world:
        world.sign_in("unknown-user", "wrong")
        before = peak_memory(world)

        def sign_in(number):
            body = {"user_id": f"unknown-{number}", "password": "wrong"}
            url = f"{world.service.base_url}/v1/sessions"
            return urllib3.request("POST", url, json=body, retries=False, timeout=60).status

        with ThreadPoolExecutor(200) as clients:
            statuses = list(clients.map(sign_in, range(200)))
        cores = len(os.sched_getaffinity(0))
        assert set(statuses) <= {401, 503}
        assert statuses.count(401) >= cores  # the others may have waited too long for a thread
        assert peak_memory(world) - before < 19 * 1024 * (cores + 2)
