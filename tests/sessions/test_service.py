"""Sessions on SQLite and PostgreSQL: each result of a refresh is stored, and each end lasts."""

import pytest
from prometheus_client import REGISTRY

from testing.sessions import VAULT, sessions_on
from tokensvc.core.actions import Target
from tokensvc.core.errors import Refusal
from tokensvc.database.engine import Database
from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing import ring_versions
from tokensvc.standing import store as standings
from tokensvc.standing.rules import Ring
from tokensvc.vault.vault import Vault

GRACE = SessionSettings().reuse_grace
JUNK = ["", "tsr_", "tsr_" + "A" * 56, "tks_" + "A" * 56, "eyJhbGciOiJub25lIn0.e30."]


def refreshes_counted():
    labels = {"action": "session:refreshed", "outcome": "ok"}
    return REGISTRY.get_sample_value("tokensvc_actions_total", labels) or 0


def test_refresh_rotates_the_token_and_is_audited_and_counted(world):
    first = world.sign_in()
    counted = refreshes_counted()
    second = world.sessions.refresh(first.refresh_token, "app")
    assert second.family.id == first.family.id
    assert second.refresh_token != first.refresh_token
    row = world.row(first)
    assert (row.counter, row.last_used_at) == (1, row.rotated_at)
    assert second.family.rotated_at == row.rotated_at == second.now
    with world.database.read() as connection:
        ring_version = ring_versions.read(connection, Ring.SIGNING)
    assert first.ring_version == second.ring_version == ring_version
    assert world.events() == [
        ("ada", "session:refreshed", "ada", "ok", {"session": first.family.id})
    ]
    world.sessions.refresh(second.refresh_token, "app")  # without a rotation
    assert refreshes_counted() == counted + 1


@pytest.mark.sec(30)
def test_predecessor_gets_the_current_token_in_a_window_that_never_slides(world):
    first = world.sign_in()
    second = world.sessions.refresh(first.refresh_token, "app")
    before = world.row(first)
    for _ in range(3):
        world.pass_time(GRACE / 4)
        for token in (first.refresh_token, second.refresh_token):
            assert world.sessions.refresh(token, "app").refresh_token == second.refresh_token
    assert world.row(first).counter == before.counter
    assert world.actions() == ["session:refreshed"]
    world.pass_time(GRACE / 4)
    assert world.refusal(first.refresh_token) == "replayed_recent"


@pytest.mark.sec(27, 28)
@pytest.mark.parametrize(("rotations", "kind"), [(1, "recent"), (2, "stale")])
def test_replay_ends_the_session_for_every_process_and_is_audited(world, rotations, kind):
    """The end is committed, although the request is refused. For an older token at any time."""
    first = latest = world.sign_in()
    for _ in range(rotations):
        world.pass_time(GRACE)
        latest = world.sessions.refresh(latest.refresh_token, "app")
    world.pass_time(GRACE if kind == "recent" else 0)
    assert world.refusal(first.refresh_token) == f"replayed_{kind}"
    assert world.row(first).ended_at is not None
    world.sessions = sessions_on(world.database, world.clock)
    assert world.refusal(latest.refresh_token) == "ended"
    session = {"session": first.family.id}
    assert world.events()[-2][:4] == ("service:sessions", "session:replayed", "ada", "refused")
    assert world.events()[-2][4] == {**session, "cause": kind}
    assert world.events()[-1][:4] == ("service:sessions", "user:renewed", "ada", "ok")
    assert world.events()[-1][4].items() >= session.items()
    assert world.actions().count("session:replayed") == 1


@pytest.mark.sec(27)
def test_replay_renews_the_stream_tokens_or_does_not_end_the_session(world):
    """Stream refuses those that the thief may have. The end and the renewal are one transaction."""
    first = world.sign_in()
    world.pass_time(GRACE)
    second = world.sessions.refresh(first.refresh_token, "app")
    world.pass_time(GRACE)
    with world.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE deliveries RENAME TO away")
    with pytest.raises(Refusal, match="incomplete"):
        world.sessions.refresh(first.refresh_token, "app")
    assert world.row(first).ended_at is None
    with world.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE away RENAME TO deliveries")
    assert world.refusal(first.refresh_token) == "replayed_recent"
    with world.database.read() as connection:
        standing = standings.read(connection, Target("ada"))
    assert standing.stream_bound == standing.latest_renewal > second.now
    assert standing.renewal_confirmed
    assert (standing.tokens_valid_after, standing.epoch) == (None, 0)


def test_junk_is_refused_without_the_database(world, monkeypatch):
    """The checksum catches it."""
    world.database.close()
    monkeypatch.delattr("tokensvc.database.engine.Database.fetch")
    for text in [*JUNK, world_token(b"k" * 32)[:-1] + "A"]:
        assert world.refusal(text) == "malformed"
        world.sessions.revoke(text, "app")


def world_token(key, family_id=bytes(16)):
    return refresh_tokens.make(family_id, 0, key)


def test_forged_token_changes_nothing(world):
    grant = world.sign_in()
    before = world.rows()
    forged = world_token(b"k" * 32, bytes.fromhex(grant.family.id))
    assert world.refusal(forged) == "forged"
    assert world.refusal(world_token(b"k" * 32)) == "unknown_family"
    world.sessions.revoke(forged, "app")
    assert world.rows() == before


@pytest.mark.sec(26)
def test_forged_token_takes_the_same_work_whether_its_session_exists(world, monkeypatch):
    """Otherwise the time of the refusal would show which IDs of sessions exist."""
    session_id = bytes.fromhex(world.sign_in().family.id)
    calls = []

    def record(owner, name):
        call = getattr(owner, name)

        def recorded(*arguments):
            calls.append(name)
            return call(*arguments)

        monkeypatch.setattr(owner, name, recorded)

    for owner, name in ((Database, "fetch"), (Vault, "decrypt"), (refresh_tokens, "verify")):
        record(owner, name)
    for family_id, reason in ((session_id, "forged"), (bytes(16), "unknown_family")):
        assert world.refusal(world_token(b"k" * 32, family_id)) == reason
        assert calls == ["fetch", "decrypt", "verify"]
        calls.clear()


@pytest.mark.sec(36)
def test_token_of_another_client_changes_nothing(world):
    grant = world.sign_in(client_id="web")
    world.sessions.refresh(grant.refresh_token, "web")
    world.pass_time(GRACE)
    before = world.rows()
    assert world.refusal(grant.refresh_token, "app") == "other_client"
    world.sessions.revoke(grant.refresh_token, "app")
    assert world.rows() == before


@pytest.mark.sec(31)
@pytest.mark.parametrize(
    ("step", "reason"), [(29 * 86400, "expired"), (SessionSettings().idle_ttl, "idle")]
)
def test_session_ends_after_its_lifetimes(world, step, reason):
    """In use after the absolute one, unused after the idle one."""
    latest = grant = world.sign_in()
    end = step if reason == "idle" else SessionSettings().absolute_ttl
    for _ in range(end // step if reason == "expired" else 0):
        world.pass_time(step)
        latest = world.sessions.refresh(latest.refresh_token, "app")
    assert world.sessions.read_open(grant.family.id)
    world.pass_time(end % step or step)
    assert world.refusal(latest.refresh_token) == reason
    assert world.sessions.read_open(grant.family.id) is None


def test_live_session_is_read_with_the_standings_of_its_user(world):
    grant = world.sign_in()
    found = world.sessions.read_open(grant.family.id)
    assert (found.session.user_id, found.session.client_id) == ("ada", "app")
    assert found.epochs == grant.family.epochs
    assert found.standing.now == int(found.now)
    assert len(found.signing_ring_version.ring_id) == 32
    assert found.signing_ring_version != found.standing.ring_version
    assert world.sessions.read_open("unknown") is None


def test_ended_session_is_dead_and_ends_once(world):
    grant, other = world.sign_in(), world.sign_in("bob")
    assert not world.sessions.end("bob", grant.family.id)
    assert world.sessions.end("ada", grant.family.id)
    assert not world.sessions.end("ada", grant.family.id)
    assert world.refusal(grant.refresh_token) == "ended"
    assert world.sessions.read_open(grant.family.id) is None
    assert world.sessions.read_open(other.family.id)
    assert world.events() == [("ada", "session:ended", "ada", "ok", {"session": grant.family.id})]


def test_any_token_of_a_session_revokes_it(world):
    first = world.sign_in()
    second = world.sessions.refresh(first.refresh_token, "app")
    world.sessions.revoke(first.refresh_token, "app")
    assert world.refusal(second.refresh_token) == "ended"


def test_live_sessions_are_listed_newest_first_and_counted(world):
    grants = []
    for _ in range(5):
        grants.append(world.sign_in())
        world.pass_time(1)
    world.sign_in("bob")
    world.sessions.end("ada", grants[2].family.id)
    newest_first = [grant.family.id for grant in grants[::-1] if grant is not grants[2]]
    listed = world.sessions.page("ada", after=None, limit=3)
    assert [family.id for family in listed] == newest_first[:3]
    rest = world.sessions.page("ada", after=listed[-1].id, limit=3)
    assert [family.id for family in rest] == newest_first[3:]
    with world.database.read() as connection:
        counts = world.sessions.count_open(connection, ["ada", "bob", "carl"])
    assert counts == {"ada": 4, "bob": 1, "carl": 0}


@pytest.mark.sec(26)
def test_token_made_without_the_random_key_of_the_session_is_refused(world):
    """A client knows the ID and the counter of a session, and may have another session."""
    grants = [world.sign_in() for _ in range(32)]
    keys = [VAULT.decrypt(world.row(grant).family_key_ciphertext) for grant in grants]
    assert {len(key) for key in keys} == {32}
    assert min(len(set(values)) for values in zip(*keys, strict=True)) > 1
    family_id = bytes.fromhex(grants[0].family.id)
    for key in (bytes(32), b"", family_id * 2, keys[1]):
        assert world.refusal(refresh_tokens.make(family_id, 0, key)) == "forged"
    assert world.sessions.refresh(refresh_tokens.make(family_id, 0, keys[0]), "app")


@pytest.mark.sec(26)
def test_nothing_stored_or_shown_is_a_usable_token(world):
    """The row contains the encrypted key only; objects and events show no token."""
    grant = world.sign_in()
    latest = world.sessions.refresh(grant.refresh_token, "app")
    stored = repr((world.rows(), world.events()))
    shown = repr((grant, latest))
    for token in (grant.refresh_token, latest.refresh_token):
        assert token.startswith("tsr_")
        assert token not in stored + shown
    assert VAULT.decrypt(world.row(grant).family_key_ciphertext).hex() not in stored
