"""The actions on each ring: atomic, seen by every process, audited."""

import pytest
import sqlalchemy as sa

from tests.stream.keys.ring import CONTEXT, DRY_RUN, events
from tokensvc.core.errors import Code, Refusal


@pytest.fixture
def rotation(ring):
    """Return the actions on a ring with an active key."""
    ring.add("k1", "active")
    return ring.rotation()


def listed(rotation):
    """Return all keys, newest first."""
    return rotation.page(after=None, limit=9)


def secret_in_database(ring, key_id):
    columns = sa.select(ring.table.c.secret_ciphertext, ring.table.c.encrypted_with)
    with ring.database.read() as connection:
        return connection.execute(columns.where(ring.table.c.id == key_id)).one()


def everything(ring, rotation):
    return ring.version(), events(ring.database), listed(rotation)


def test_made_key_is_standby_and_every_process_has_it(ring, rotation):
    process = ring.process()
    ring.current(process)
    made = ring.make(rotation)
    assert (made.state, made.activated_at, made.retired_at) == ("standby", None, None)
    found = ring.current(process)
    assert ring.find(found, ring.name_of(made)).state == "standby"
    assert ring.name_of(rotation.one(made.id)) == ring.name_of(made)
    assert ring.find(found, "k1") is found.active
    ((actor, action, reason, _),) = events(ring.database)
    assert (actor, action, reason) == ("svc.ops", f"{ring.kind}:added", "yearly")


@pytest.mark.sec(37)
def test_secret_of_a_retired_key_is_erased(ring, rotation):
    """A repetition changes nothing: neither the version nor the audit trail."""
    made = ring.make(rotation)
    process = ring.process()
    ring.current(process)
    retired = rotation.retire(made.id, CONTEXT)
    assert (retired.state, retired.retired_at) == ("retired", int(ring.clock.now))
    assert secret_in_database(ring, made.id) == (None, None)
    assert ring.find(ring.current(process), ring.name_of(made)) is None
    assert events(ring.database)[-1] == ("svc.ops", f"{ring.kind}:retired", "yearly", None)
    before = everything(ring, rotation)
    assert rotation.retire(made.id, CONTEXT) == retired
    assert everything(ring, rotation) == before


@pytest.mark.sec(37)
def test_dry_run_changes_nothing(ring, rotation):
    before = everything(ring, rotation)
    would = ring.make(rotation, DRY_RUN)
    assert (would.state, would.dry_run) == ("standby", True)
    assert everything(ring, rotation) == before
    made = ring.make(rotation)
    before = everything(ring, rotation)
    would = rotation.retire(made.id, DRY_RUN)
    assert (would.id, would.state, would.dry_run) == (made.id, "retired", True)
    assert everything(ring, rotation) == before


def test_key_made_last_is_the_newest_even_if_the_clock_was_set_back(ring, rotation):
    first = ring.make(rotation)
    rotation.retire(first.id, CONTEXT)
    ring.clock.now -= 1000
    again = ring.make(rotation)
    assert again.id > first.id
    assert [key.id for key in listed(rotation)][:2] == [again.id, first.id]


def test_active_key_is_not_retired_and_an_unknown_one_is_not_found(ring, rotation):
    (active,) = listed(rotation)
    for key_id, code in ((active.id, Code.CONFLICT), ("unknown", Code.NOT_FOUND)):
        with pytest.raises(Refusal) as refused:
            rotation.retire(key_id, CONTEXT)
        assert refused.value.code is code
    with pytest.raises(Refusal) as refused:
        rotation.one("unknown")
    assert refused.value.code is Code.NOT_FOUND


@pytest.mark.sec(25)
def test_result_and_events_contain_no_secret(ring, rotation):
    made = ring.make(rotation)
    shown = repr((made, events(ring.database), vars(rotation)))
    ciphertext, _ = secret_in_database(ring, made.id)
    secret = ring.secret_in(ring.find(ring.current(ring.process()), ring.name_of(made)))
    assert ciphertext not in shown
    assert str(secret)[2:-1] not in shown
