"""Sign-ins and a change of the password at the same moment, on a service with two workers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.account_world import running_account_world
from testing.accounts import NEW_PASSWORD, PASSWORD
from testing.http_client import Client
from tests.sign_in.passwords_over_http import PasswordServiceWorld

pytestmark = pytest.mark.slow

ROUNDS, SIGN_INS = 6, 3
"""With more sign-ins in a round, their failures would be delayed."""


@pytest.fixture
def world(request, database_kind, tmp_path):
    """Yield a service with two processes."""
    settings = {"TOKENSVC_WORKERS": "2", "TOKENSVC_THREADS": "8"}
    if database_kind == "postgresql":
        settings["TOKENSVC_DATABASE_URL"] = request.getfixturevalue("migrated_postgres_url")
    with running_account_world(tmp_path, PasswordServiceWorld, **settings) as world:
        yield world


def race(world, user_id):
    """Return the responses to sign-ins with the old password, and to the change."""
    world.create(user_id)
    token = world.sign_in(user_id).json["access_token"]
    barrier = threading.Barrier(SIGN_INS + 1)

    def sign_in():
        client = Client(world.service.base_url)
        barrier.wait()
        return client.post("/v1/sessions", json={"user_id": user_id, "password": PASSWORD})

    def change():
        client = world.with_token(token)
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        barrier.wait()
        return client.post("/v1/me/password", json=body)

    with ThreadPoolExecutor(SIGN_INS + 1) as clients:
        changing = clients.submit(change)
        signing_in = [clients.submit(sign_in) for _ in range(SIGN_INS)]
    return [request.result() for request in signing_in], changing.result()


@pytest.mark.sec(33)
def test_no_session_of_the_old_password_lives_after_the_response_to_its_change(world):
    changes = 0
    for number in range(ROUNDS):
        user_id = f"user-{number}"
        responses, changed = race(world, user_id)
        if changed.status == 503:  # the machine is too busy to hash
            continue
        assert changed.status == 200, changed.text
        changes += 1
        for response in responses:
            assert response.status in {200, 401, 503}, response.text
            if response.status == 200:
                earlier = world.with_token(response.json["access_token"])
                assert earlier.get("/v1/me").code == "sign_in_required"
                assert world.refresh(response.json["refresh_token"]).json["error"] == (
                    "invalid_grant"
                )
        assert world.with_token(changed.json["access_token"]).get("/v1/me").status == 200
        assert world.sign_in(user_id).code in {"credentials_invalid", "rate_limited"}
    assert changes
