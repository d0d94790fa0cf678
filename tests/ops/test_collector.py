"""The figures that the background reads for the metrics."""

import math
import time

import pytest
import sqlalchemy as sa

from testing.doubles.issuer import IssuerDouble
from testing.service_clients import make_client
from tests.ops.services import built_services, figure
from tokensvc import __version__
from tokensvc.app.process import Process
from tokensvc.clients.tables import client_secrets
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.stream.delivery import store
from tokensvc.stream.delivery.tables import deliveries
from tokensvc.stream.keys.tables import stream_keys

WEEK = 7 * 24 * 3600
OPERATOR = ActionContext("cli:test")


@pytest.fixture
def issuer():
    with IssuerDouble() as double:
        yield double


@pytest.fixture
def services(request, tmp_path, issuer, database_kind):
    kind = "sqlite" if database_kind == "sqlite" else "postgres"
    url = request.getfixturevalue(f"migrated_{kind}_url")
    with built_services(tmp_path, issuer, url) as built:
        yield built


def actions(action, outcome="ok"):
    return figure("tokensvc_actions_total", action=action, outcome=outcome) or 0


def test_committed_action_counts_one(services):
    before = actions("user:revoked")
    services.revocations.revoke(Target("ada"), OPERATOR)
    assert actions("user:revoked") == before + 1


def test_dry_run_and_failed_action_are_not_counted(services):
    before = actions("user:revoked")
    services.revocations.revoke(Target("ada"), ActionContext("cli:test", dry_run=True))
    with pytest.raises(ZeroDivisionError), services.database.write() as tx:
        services.revocations.revoke_within(tx, "ada", "revocation", OPERATOR)
        raise ZeroDivisionError
    assert actions("user:revoked") == before


def test_deliveries_are_counted_by_state_with_the_age_of_the_oldest(services):
    """One that Stream already has, and waits to be sent once more, has no age."""
    now = int(time.time())
    with services.database.write() as tx:
        for user_id, age in (("ada", 100), ("bob", 300), ("cyd", 900)):
            store.mark_pending(tx, "user", user_id, now - age)
        row = deliveries.update().where(deliveries.c.subject == "cyd")
        tx.execute(row.values(applied_version=1))
        row = deliveries.update().where(deliveries.c.subject == "bob")
        tx.execute(row.values(state="failed"))
    services.operations.collect_metrics()
    assert figure("tokensvc_deliveries", kind="user", state="pending") == 2
    assert figure("tokensvc_deliveries", kind="user", state="failed") == 1
    assert figure("tokensvc_deliveries", kind="app", state="pending") == 0
    assert 300 <= figure("tokensvc_delivery_oldest_seconds", kind="user") < 400
    assert figure("tokensvc_delivery_oldest_seconds", kind="app") == 0


def test_issuer_keys_have_an_age_once_they_were_fetched(services, issuer):
    services.operations.collect_metrics()
    assert figure("tokensvc_issuer_keys_usable", issuer="acme") == 0
    services.issuers.refresh()
    services.operations.collect_metrics()
    assert figure("tokensvc_issuer_keys_usable", issuer="acme") == 1
    assert 0 <= figure("tokensvc_issuer_keys_age_seconds", issuer="acme") < 60
    assert figure("tokensvc_issuer_keys_max_stale_seconds", issuer="acme") == 86400
    assert figure("tokensvc_issuer_keys_refresh_seconds", issuer="acme") == 300


def test_issuer_keys_are_shown_while_the_database_is_down(services, monkeypatch):
    def fail():
        raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone")

    monkeypatch.setattr(services.stream.deliveries, "waiting", fail)
    services.issuers.refresh()
    with pytest.raises(Refusal):
        services.operations.collect_metrics()
    assert figure("tokensvc_issuer_keys_usable", issuer="acme") == 1


def test_keys_are_counted_by_state_with_the_age_of_the_oldest(services):
    with services.database.write() as tx:
        tx.execute(stream_keys.update().values(activated_at=int(time.time()) - 1000))
    services.operations.collect_metrics()
    assert figure("tokensvc_keys", ring="stream", state="active") == 1
    assert figure("tokensvc_keys", ring="stream", state="standby") == 0
    assert figure("tokensvc_keys", ring="signing", state="active") == 1
    assert 1000 <= figure("tokensvc_key_age_seconds", ring="stream", state="active") < 1100
    assert figure("tokensvc_key_age_seconds", ring="stream", state="retiring") == 0


def left():
    return figure("tokensvc_secret_seconds_left", secret="client")


def test_secret_that_ends_first_counts_unless_its_client_has_a_later_one(services):
    now = int(time.time())

    def set_ends(client, *ends):
        with services.database.write() as tx:
            own = client_secrets.c.client_id == client.id
            tx.execute(sa.delete(client_secrets).where(own))
            for end in ends:
                row = {"id": f"{client.id}-{end}", "client_id": client.id, "secret_hash": "-"}
                tx.execute(sa.insert(client_secrets).values(**row, created_at=0, expires_at=end))
        services.operations.collect_metrics()

    first, second = (make_client(services.database, name, "users:read") for name in ("a", "b"))
    services.operations.collect_metrics()
    assert left() == math.inf
    set_ends(first, now + 1000, now + 2000)
    assert 1900 < left() <= 2000
    set_ends(second, now + 500, None)
    assert 1900 < left() <= 2000
    set_ends(second, now - 100)
    assert -200 < left() <= -100
    set_ends(second, now - WEEK - 1)
    assert 1900 < left() <= 2000


def test_encryption_key_that_secrets_need_and_the_process_lacks_is_missing(services):
    own = services.vault.first_fingerprint

    def use(name, fingerprint):
        return figure(f"tokensvc_encryption_key_{name}", fingerprint=fingerprint)

    def encrypt_with(fingerprint):
        with services.database.write() as tx:
            tx.execute(stream_keys.update().values(encrypted_with=fingerprint))
        services.operations.collect_metrics()

    services.operations.collect_metrics()
    assert (use("in_use", own), use("missing", own)) == (1, 0)
    encrypt_with("feedfacefeedface")
    assert (use("in_use", "feedfacefeedface"), use("missing", "feedfacefeedface")) == (1, 1)
    encrypt_with(own)
    assert (use("in_use", "feedfacefeedface"), use("missing", "feedfacefeedface")) == (0, 0)


def test_start_shows_the_version(services):
    process = Process(services)
    process.start()
    process.stop()
    assert figure("tokensvc_build_info", version=__version__) == 1
