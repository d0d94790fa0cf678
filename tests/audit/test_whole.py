"""Actions on Stream keys and their secrets are atomic, on either database."""

import sqlite3

import pytest
import sqlalchemy as sa

from testing.refused_writes import refuse_writes
from tests.stream.keys.ring import ENCRYPTION_KEY, OTHER_SECRET, add, rotation_of
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.standing.tables import app_standing
from tokensvc.stream.keys.store import STREAM_SECRETS
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.telemetry import metrics
from tokensvc.vault.reencryption import Reencryption
from tokensvc.vault.vault import Vault

CONTEXT = ActionContext("svc.ops")


def add_a_key(rotation, _reencryption, _standby):
    rotation.add("k3", OTHER_SECRET.encode(), CONTEXT, check=False)


def activate(rotation, _reencryption, standby):
    rotation.activate(standby, CONTEXT, check=False)


def retire(rotation, _reencryption, standby):
    rotation.retire(standby, CONTEXT)


def reencrypt(_rotation, reencryption, _standby):
    list(reencryption.run(CONTEXT))


@pytest.mark.sec(37, 59)
@pytest.mark.parametrize("action", [add_a_key, activate, retire, reencrypt])
def test_action_on_keys_without_its_event_changes_nothing(database, clock, action, monkeypatch):
    add(database, "k1", "active")
    standby = add(database, "k2", "standby", OTHER_SECRET, now=2)
    another = Vault([Vault.generate_key(), ENCRYPTION_KEY])
    parts = (
        rotation_of(database, clock),
        Reencryption(database, DatabaseClock(database, clock), another, [STREAM_SECRETS]),
    )
    before, counted = contents(database), []
    monkeypatch.setattr(metrics, "count_action", lambda *action: counted.append(action))
    refuse_writes(database, "audit_events")
    with pytest.raises((sa.exc.DBAPIError, sqlite3.IntegrityError, Refusal)):
        action(*parts, standby)
    assert contents(database) == before
    assert counted == []


def contents(database):
    with database.read() as connection:
        return [
            connection.execute(sa.select(table).order_by(table.c.id)).all()
            for table in (stream_keys, app_standing)
        ]
