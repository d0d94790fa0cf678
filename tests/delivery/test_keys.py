"""Stream refuses a key, or does not: which one is tried, and what an operator is told."""

import json

import pytest

from tests.delivery.conftest import KEY, OTHER_KEY, SECRETS
from tokensvc.keys.rules import KeyState, StreamKey, fingerprint

ROUTE = "PATCH /users"
NEW_SECRET = "another-secret-of-the-first-key-012345"


@pytest.mark.parametrize("code", [2, 5, 43, 99])
def test_another_key_is_tried_where_stream_refuses_one(ada, code):
    """The active key's secret was changed in the dashboard: one not retired does as well."""
    ada.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.RETIRING))
    ada.stream.fail_with(code, ROUTE)
    ada.revoke("ada")
    ada.deliver()
    assert [call.query["api_key"] for call in ada.stream.calls.all()] == [KEY, OTHER_KEY]
    assert ada.state("user", "ada") == "applied"
    (trouble,) = ada.deliveries.warnings()
    assert KEY in trouble
    assert f"code {code}" in trouble
    ada.revoke("ada")
    ada.deliver()
    assert ada.deliveries.warnings() == []


def test_what_may_not_be_done_to_a_user_is_no_refused_key(ada):
    """Code 17 comes with 403 as well: that user alone has failed, and no key is in doubt."""
    ada.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.RETIRING))
    ada.have("bob")
    ada.stream.fail_with(17, ROUTE, times=2)
    ada.revoke("ada")
    ada.revoke("bob")
    ada.deliver()
    assert {call.query["api_key"] for call in ada.stream.calls.all()} == {KEY}
    assert ada.routes() == [ROUTE, "GET /users", ROUTE, ROUTE, ROUTE]
    assert {ada.state("user", user_id) for user_id in ("ada", "bob")} == {"applied"}
    ada.stream.fail_with(17, ROUTE, times=2)
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "failed"
    assert all("refuses the key" not in trouble for trouble in ada.deliveries.warnings())


@pytest.fixture
def regenerated(ada):
    """Give a world in which the active key's secret was changed in the dashboard."""
    ada.stream.app.keys[KEY] = NEW_SECRET
    ada.ring.append(StreamKey(KEY, NEW_SECRET.encode(), KeyState.STANDBY))
    ada.revoke("ada")
    ada.deliver()
    return ada


def test_a_regenerated_secret_does_not_hide_that_the_active_one_is_refused(regenerated):
    """Both are of one API key: what one of them can do says nothing of the other."""
    assert regenerated.state("user", "ada") == "applied"
    (trouble,) = regenerated.deliveries.warnings()
    assert fingerprint(SECRETS[KEY].encode()) in trouble
    regenerated.revoke("ada")
    regenerated.stream.faults.refuse(ROUTE)
    regenerated.sender.step()
    assert regenerated.deliveries.warnings() == [trouble]


def test_what_is_not_tried_any_more_is_not_shown(regenerated):
    """The active key is taken again: what came of another meanwhile is nobody's trouble."""
    regenerated.ring[1] = StreamKey(OTHER_KEY, b"x" * 32, KeyState.STANDBY)
    regenerated.revoke("ada")
    regenerated.deliver()
    assert len(regenerated.deliveries.warnings()) == 3  # and the act, which has failed
    regenerated.stream.app.keys[KEY] = SECRETS[KEY]
    regenerated.pass_time(2)
    regenerated.deliver()
    assert regenerated.state("user", "ada") == "applied"
    assert regenerated.deliveries.warnings() == []


def test_refused_keys_are_shown_and_acts_wait(ada):
    """No key is taken: it has failed, says so, and goes through once a key is good again."""
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


def test_a_refused_key_that_is_retired_is_forgotten(ada):
    """What nobody uses any more is nobody's trouble."""
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


def test_without_any_key_acts_wait(ada):
    """A ring without keys is a fault of ours to mend, not the end of an act."""
    key = ada.ring.pop()
    ada.revoke("ada")
    ada.deliver()
    assert "no Stream key" in ada.row("user", "ada").last_error
    ada.ring.append(key)
    ada.pass_time(2)
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
