"""`tokensvc doctor --token` also explains the tokens of this service, and Stream's."""

import pytest

from testing.runs.restore_scene import PASSWORD, opened_scene
from testing.service_clients import basic_header

USER = "own-eve"


@pytest.fixture(scope="module")
def scene():
    """Yield a running service with an account."""
    with opened_scene("sqlite") as opened, opened.running():
        assert opened.sign_up(USER).status == 201
        yield opened


def explained(scene, token):
    ended = scene.command("doctor", "--token", "-", stdin=token)
    assert token not in ended.out + ended.err
    return ended


def access_token(scene):
    return scene.sign_in_account(USER, PASSWORD).json["access_token"]


def test_access_token_of_a_live_session_passes_and_shows_the_user_id(scene):
    ended = explained(scene, access_token(scene))
    assert ended.code == 0, ended.out
    assert ended.out.splitlines()[-3:-1] == ["ok    session: live", f"ok    user id: {USER}"]


def test_access_token_of_an_ended_session_says_so(scene):
    token = access_token(scene)
    scene.json("users", "revoke", USER)
    ended = explained(scene, token)
    assert ended.code == 1
    assert "FAIL  session: The session has ended" in ended.out


def test_changed_access_token_fails_by_its_signature(scene):
    token = access_token(scene)
    changed = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    ended = explained(scene, changed)
    assert ended.code == 1
    assert "FAIL  access token: " in ended.out


def test_access_token_of_a_service_shows_its_scopes(scene):
    created = scene.json("clients", "create", "backend", "--scope", "users:read")
    response = scene.client(basic_header(created)).post(
        "/oauth/token", form={"grant_type": "client_credentials"}
    )
    ended = explained(scene, response.json["access_token"])
    assert ended.code == 0, ended.out
    assert ended.out.splitlines()[-2] == "ok    service: svc.backend with users:read"


def test_stream_token_is_named_as_one_that_is_not_accepted(scene):
    token = scene.command("token", "mint", "ada").out.strip()
    ended = explained(scene, token)
    assert ended.code == 1
    assert ended.out.startswith("FAIL  form: This is a Stream token")
    assert "ok    user: ada" in ended.out
