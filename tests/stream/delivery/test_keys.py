"""Keys that Stream refuses: which key is tried next, and the operator's warnings."""

import json

import pytest

from tests.stream.delivery.conftest import KEY, OTHER_KEY, SECRETS
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.states import KeyState
from tokensvc.vault.rules import fingerprint

ROUTE = "PATCH /users"
NEW_SECRET = "another-secret-of-the-first-key-012345"


@pytest.mark.parametrize("code", [2, 5, 43, 99])
def test_next_key_is_tried_if_stream_refuses_one(ada, code):
    """The active key's secret was changed in the dashboard: any key not retired will do."""
    ada.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.RETIRING))
    ada.stream.fail_with(code, ROUTE)
    ada.revoke("ada")
    ada.deliver()
    assert [call.query["api_key"] for call in ada.stream.calls.all()] == [KEY, OTHER_KEY]
    assert ada.state("user", "ada") == "applied"
    (warning,) = ada.deliveries.warnings()
    assert KEY in warning
    assert f"code {code}" in warning
    ada.revoke("ada")
    ada.deliver()
    assert ada.deliveries.warnings() == []


def test_403_about_a_user_is_not_a_refused_key(ada):
    """Code 17 has status 403 too: only that user fails."""
    ada.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.RETIRING))
    ada.have("bob")
    ada.stream.fail_with(17, ROUTE)
    ada.revoke("ada")
    ada.revoke("bob")
    ada.deliver()
    assert {call.query["api_key"] for call in ada.stream.calls.all()} == {KEY}
    assert ada.routes() == [ROUTE] * 3
    assert {ada.state("user", user_id) for user_id in ("ada", "bob")} == {"applied"}
    ada.stream.fail_with(17, ROUTE)
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "failed"
    assert all("refuses the key" not in warning for warning in ada.deliveries.warnings())


@pytest.fixture
def regenerated(ada):
    """Return a world in which the active key's secret was changed in the dashboard."""
    ada.stream.app.keys[KEY] = NEW_SECRET
    ada.ring.append(StreamKey(KEY, NEW_SECRET.encode(), KeyState.STANDBY))
    ada.revoke("ada")
    ada.deliver()
    return ada


def test_refused_key_is_shown_although_its_new_secret_works(regenerated):
    """Both secrets have the same API key."""
    assert regenerated.state("user", "ada") == "applied"
    (warning,) = regenerated.deliveries.warnings()
    assert fingerprint(SECRETS[KEY].encode()) in warning
    regenerated.revoke("ada")
    regenerated.stream.faults.refuse(ROUTE)
    regenerated.sender.step()
    assert regenerated.deliveries.warnings() == [warning]


def test_refused_key_is_not_shown_after_another_was_accepted(regenerated):
    regenerated.ring[1] = StreamKey(OTHER_KEY, b"x" * 32, KeyState.STANDBY)
    regenerated.revoke("ada")
    regenerated.deliver()
    assert len(regenerated.deliveries.warnings()) == 3  # two keys and the failed delivery
    regenerated.stream.app.keys[KEY] = SECRETS[KEY]
    regenerated.pass_time(2)
    regenerated.deliver()
    assert regenerated.state("user", "ada") == "applied"
    assert regenerated.deliveries.warnings() == []


def test_delivery_fails_until_stream_accepts_a_key(ada):
    ada.stream.app.keys[KEY] = NEW_SECRET
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "failed"
    assert "code 43" in ada.row("user", "ada").last_error
    assert SECRETS[KEY] not in json.dumps(ada.deliveries.warnings())
    ada.pass_time(2)
    ada.deliver()
    assert len(ada.routes()) == 2
    ada.stream.app.keys[KEY] = SECRETS[KEY]
    ada.pass_time(60)
    ada.deliver()
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "applied"
    assert ada.deliveries.warnings() == []


def test_retired_key_is_not_shown(ada):
    good = StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.ACTIVE)
    ada.stream.fail_with(43, ROUTE)
    ada.ring.append(good)
    ada.revoke("ada")
    ada.deliver()
    assert len(ada.deliveries.warnings()) == 1
    ada.ring[:] = [good]
    ada.revoke("ada")
    ada.deliver()
    assert ada.deliveries.warnings() == []


def test_delivery_without_a_key_waits(ada):
    key = ada.ring.pop()
    ada.revoke("ada")
    ada.deliver()
    assert "no Stream key" in ada.row("user", "ada").last_error
    ada.ring.append(key)
    ada.pass_time(2)
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
