"""A renewal: Stream refuses the tokens so far, and nobody is signed out."""

import jwt
import pytest
from stream_chat import StreamChat

from testing.doubles.stream_calls import call
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.sessions import open_session
from testing.world import CUT_OFF, WAIT, World, claims, minted
from tests.revocations.test_cut_off import SteppingClock, service_on
from tests.revocations.test_service import events, versions
from tokensvc.core.actions import ActionContext, Target
from tokensvc.database.clock import DatabaseClock
from tokensvc.standing import store as standing_rows
from tokensvc.stream import renewals
from tokensvc.stream.api import rfc3339

CONTEXT = ActionContext("svc.backend", "lost phone")
JOHN = Target("john")


def stream_bound(database, user_id="john"):
    with database.read() as connection:
        return standing_rows.stream_bounds(connection, [user_id])[user_id]


def test_renewal_moves_the_stream_bound_only(revocations, sessions, standings, database):
    with database.write() as tx:
        grant = open_session(tx, sessions, "john")
    before = standings.read("john").now
    state = revocations.renew("john", CONTEXT)
    standing = standings.read("john")
    assert before < standing.floor == stream_bound(database) <= standing.now + 1
    assert state.tokens_valid_after is standing.tokens_valid_after is state.revocation is None
    assert (state.suspended, state.sessions, state.stream.state) == (False, 1, "pending")
    assert revocations.holds_until(state) is None
    assert sessions.read_open(grant.family.id) is not None
    assert events(database) == [("svc.backend", "user:renewed", "john", "lost phone")]


def test_undo_of_a_revocation_leaves_the_renewal(revocations, database):
    """Otherwise Stream would accept the token of a lost phone again."""
    revocations.renew("john", CONTEXT)
    revoked = revocations.revoke(JOHN, CONTEXT)
    assert stream_bound(database) == revoked.tokens_valid_after
    undone = revocations.undo(JOHN, revoked.revocation.id, CONTEXT)
    assert undone.tokens_valid_after is None
    with database.read() as connection:
        assert stream_bound(database) == standing_rows.read(connection, JOHN).latest_renewal
    assert stream_bound(database) is not None


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_renewals_within_one_second_are_one_delivery(revocations, database, clock):
    """Nor is one in the second of a revocation another delivery."""
    for now, version in ((1_000.1, 1), (1_000.9, 1), (1_001.0, 2), (1_001.9, 2)):
        clock.now = now
        revocations.renew("john", CONTEXT)
        assert (stream_bound(database), versions(database)["john"]) == (int(now) + 1, version)
    assert len(events(database)) == 4
    revocations.revoke(Target("jane"), CONTEXT)
    revocations.renew("jane", CONTEXT)
    assert versions(database)["jane"] == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("times", "bound", "version"),
    [
        ((1_000.5, 1_000.9), 1_001, 1),
        ((1_000.5, 1_001.0), 1_002, 2),
        ((1_000.5, 1_007.2), 1_008, 2),
    ],
)
def test_bound_that_passed_during_the_commit_moves_again(database, times, bound, version):
    """A token that was minted before the commit may have been issued after the first bound."""
    service = service_on(database, SteppingClock(*times))
    service.renew("john", CONTEXT)
    assert (stream_bound(database), versions(database)["john"]) == (bound, version)
    assert len(events(database)) == 1
    for later in (1_020.0, 1_030.0):
        service_on(database, SteppingClock(later)).confirm(JOHN)
    assert stream_bound(database) == bound


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_renewal_of_a_dead_process_is_confirmed_by_background_work(database):
    with database.write() as tx:
        renewals.renew_within(tx, DatabaseClock(database, lambda: 1_000.5), "john", CONTEXT)
    assert stream_bound(database) == 1_001
    for now in (1_003.9, 1_020.0):
        service = service_on(database, SteppingClock(now))
        assert service.confirm_remaining() is False
        assert (stream_bound(database), versions(database)["john"]) == (1_004, 2)


def test_dry_run_of_a_renewal_changes_nothing(revocations, database):
    dry_run = ActionContext("svc.backend", None, dry_run=True)
    assert revocations.renew("john", dry_run).stream.state == "pending"
    assert (stream_bound(database), events(database)) == (None, [])


def test_token_of_a_mint_after_the_renewal_is_accepted_by_stream(world: World) -> None:
    """The sign-in from before it still mints, also in the same second, after a repetition."""
    world.make_stream_user("renewed")
    user = world.signed_in("renewed")
    before = claims(minted(user))["iat"]
    response = world.operator.post(
        "/v1/users/renewed/renewals", json={"reason": "lost phone"}, headers=WAIT
    )
    after = claims(minted(user))["iat"]
    assert (response.status, response.headers["Preference-Applied"]) == (200, "wait=10")
    assert response.json == {**world.state("renewed"), "holds_until": None}
    assert (response.json["tokens_valid_after"], response.json["revocation"]) == (None, None)
    assert response.json["stream"]["state"] == "applied"
    with world.database.read() as connection:
        bound = standing_rows.read(connection, Target("renewed")).latest_renewal
    assert world.stream.app.users["renewed"][CUT_OFF] == rfc3339(bound)
    assert before < bound <= after
    (event,) = world.operator.get("/v1/audit", query={"subject": "renewed"}).json["items"]
    assert (event["action"], event["reason"]) == ("user:renewed", "lost phone")
    assert event["details"].keys() == {"latest_renewal"}
    # A commit that ends in a later second moves the bound after the event.
    assert before < event["details"]["latest_renewal"] <= bound


def test_renewal_and_suspension_end_tokens_without_expiry(world: World) -> None:
    """Another program signed them with the SDK, before this service. They have no `iat` either."""
    for user_id in ("renewed-old", "suspended-old"):
        world.make_stream_user(user_id)
        token = StreamChat(STREAM_API_KEY, STREAM_API_SECRET).create_token(user_id)
        assert jwt.decode(token, options={"verify_signature": False}) == {"user_id": user_id}
        assert call(world.stream, token, api_key=STREAM_API_KEY).status == 200
        if user_id == "renewed-old":
            ended = world.operator.post(f"/v1/users/{user_id}/renewals", headers=WAIT)
        else:
            ended = world.suspend(user_id, headers=WAIT)
        assert ended.json["stream"]["state"] == "applied"
        assert call(world.stream, token, api_key=STREAM_API_KEY).json()["code"] == 40


def test_renewal_over_http_is_refused_without_the_scope_and_has_a_dry_run(world: World) -> None:
    path = "/v1/users/kept-as-is/renewals"
    assert world.backend.post(path).code == "insufficient_scope"
    assert world.signed_in("kept-as-is").post(path).code == "insufficient_scope"
    assert world.operator.post("/v1/users/not%20legal/renewals").code == "user_id_invalid"
    assert world.operator.post(path, query={"dry_run": True}).json["dry_run"] is True
    assert world.state("kept-as-is")["stream"]["state"] == "none"
