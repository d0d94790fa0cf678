"""What the audit trail says of changes to service clients, on both databases."""

import dataclasses

import pytest

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients import administration as administration_module
from tokensvc.clients import rules
from tokensvc.core.callers import ServiceCaller


@pytest.fixture
def manager(clients, administration):
    """Give a service that changes clients, and says why."""
    made = administration.create(
        "manager", rights("clients:write", "tokens:mint"), grantor=OPERATOR
    )
    return rules.service(clients.authenticate(made.id, made.secret.secret), "in my words")


def said(trail):
    """Give the events, oldest first, but for that of the manager's own making."""
    events = reversed(trail.page(limit=100, filters={}))
    audit_reason = [(event.actor, event.action, event.subject, event.reason) for event in events]
    return [each for each in audit_reason if each[2] != "svc.manager"]


@pytest.mark.sec(59)
def test_every_change_is_one_event(administration, manager, trail, clock):
    """With who did it, to which client, and what exactly; the secret's id, never the secret."""
    created = administration.create(
        "backend", rights("users:read", "tokens:mint", vouches=True), grantor=OPERATOR
    )
    administration.change(created.id, scopes=["tokens:mint"], vouches=False, grantor=manager)
    expires_at = int(clock.now) + 60
    added = administration.add_secret(created.id, expires_at, grantor=manager)
    administration.delete_secret(created.id, created.secret.id, grantor=manager)
    clock.now += 60
    more = [administration.add_secret(created.id, grantor=manager) for _ in range(2)]
    administration.delete(created.id, grantor=OPERATOR)

    why = "reason: in my words"
    first = f"scopes: tokens:mint users:read; vouches: yes; secret: {created.secret.id}"
    assert said(trail) == [
        ("cli:test", "client:created", "svc.backend", first),
        (
            "svc.manager",
            "client:changed",
            "svc.backend",
            f"scopes: -users:read; vouches: no; {why}",
        ),
        (
            *("svc.manager", "client_secret:added", "svc.backend"),
            f"secret: {added.id}; expires_at: {expires_at}; {why}",
        ),
        *(
            ("svc.manager", f"client_secret:{what}", "svc.backend", f"secret: {secret_id}; {why}")
            for what, secret_id in (
                ("deleted", created.secret.id),
                ("deleted", added.id),  # it had expired, and made room
                ("added", more[0].id),
                ("added", more[1].id),
            )
        ),
        ("cli:test", "client:deleted", "svc.backend", None),
    ]


@pytest.mark.sec(59)
def test_what_changes_nothing_is_no_event(administration, manager, trail):
    """A repeat, a client that is there already and a refusal say nothing."""
    created = administration.create("backend", rights("tokens:mint"), grantor=OPERATOR)
    added = administration.add_secret(created.id, grantor=OPERATOR)
    before = said(trail)
    for change in ({}, {"scopes": ["tokens:mint"]}, {"vouches": False}):
        assert administration.change(created.id, grantor=manager, **change).rights == rights(
            "tokens:mint"
        )
    administration.create_if_absent("backend", rights("tokens:mint"), grantor=OPERATOR)
    for act, *arguments in (
        (administration.create, "backend", rights("tokens:mint")),
        (administration.create, "other", rights("keys:write")),
        (administration.add_secret, created.id),
        (administration.delete_secret, created.id, "sec_none"),
        (administration.delete, "svc.none"),
    ):
        refusal_of(act, *arguments, grantor=manager)
    refusal_of(administration.change, created.id, scopes=["keys:write"], grantor=manager)
    assert said(trail) == before
    assert added.id in before[-1][-1]


ACTS = {
    "create": ("other", rights("tokens:mint")),
    "change": ("svc.backend", ["users:read"]),
    "add_secret": ("svc.backend",),
    "delete_secret": ("svc.backend", "the first"),
    "delete": ("svc.backend",),
}


@pytest.mark.sec(59)
@pytest.mark.parametrize("act", ACTS)
def test_a_change_without_its_event_is_no_change(administration, clients, monkeypatch, act):
    """Both are one transaction: if the event cannot be written, nothing has happened."""
    made = administration.create("backend", rights("tokens:mint"), grantor=OPERATOR)
    before = clients.page()

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(administration_module, "record", broken)
    arguments = [made.secret.id if each == "the first" else each for each in ACTS[act]]
    with pytest.raises(ZeroDivisionError):
        getattr(administration, act)(*arguments, grantor=OPERATOR)
    assert clients.page() == before


def test_a_grantor_is_whom_the_credential_names():
    """Its rights are the caller's, its name the client's."""
    caller = ServiceCaller("svc.manager", frozenset({"tokens:mint"}), vouches=False, secret_id="s1")
    assert dataclasses.astuple(rules.service(caller, "in my words")) == (
        "svc.manager",
        (frozenset({"tokens:mint"}), False),
        "in my words",
        "svc.manager",
        "s1",
    )
