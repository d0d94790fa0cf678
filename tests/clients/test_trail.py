"""Audit events of changes to service clients, on both databases."""

import pytest

from testing.service_clients import OPERATOR, refusal_of, rights
from tokensvc.clients import administration as administration_module
from tokensvc.clients import rules


@pytest.fixture
def manager(clients, administration):
    """Create a service that changes clients and gives a reason."""
    held = rights("clients:write", "tokens:mint", "users:read", vouches=True)
    created = administration.create("manager", held, administrator=OPERATOR)
    return rules.service(clients.authenticate(created.id, created.secret), "in my words")


def events_of(trail):
    """Return the events, oldest first, except the creation of the manager."""
    events = reversed(trail.page(limit=100, filters={}))
    return [
        (event.actor, event.action, event.subject, event.details, event.reason)
        for event in events
        if event.subject != "svc.manager"
    ]


@pytest.mark.sec(59)
def test_each_change_is_one_event(administration, manager, trail, clock):
    """It has the actor, the client, the change and the secret's ID."""
    created = administration.create(
        "backend", rights("users:read", "tokens:mint", vouches=True), administrator=OPERATOR
    )
    administration.change(created.id, scopes=["tokens:mint"], vouches=False, administrator=manager)
    expires_at = int(clock.now) + 60
    added = administration.add_secret(created.id, expires_at, administrator=manager)
    administration.delete_secret(created.id, created.secrets[0].id, administrator=manager)
    clock.now += 60
    more = [administration.add_secret(created.id, administrator=manager) for _ in range(2)]
    administration.delete(created.id, administrator=OPERATOR)

    why = "in my words"
    first = {
        "scopes": ["tokens:mint", "users:read"],
        "vouches": True,
        "secret": created.secrets[0].id,
    }
    changed = {
        "scopes": ["tokens:mint"],
        "vouches": False,
        "withdrawn": ["users:read"],
        "vouches_changed": True,
    }
    assert events_of(trail) == [
        ("cli:test", "client:created", "svc.backend", first, None),
        ("svc.manager", "client:changed", "svc.backend", changed, why),
        (
            *("svc.manager", "client_secret:added", "svc.backend"),
            {"secret": added.id, "expires_at": expires_at},
            why,
        ),
        *(
            ("svc.manager", f"client_secret:{what}", "svc.backend", {"secret": secret_id}, why)
            for what, secret_id in (
                ("deleted", created.secrets[0].id),
                ("deleted", added.id),  # expired, and replaced
                ("added", more[0].id),
                ("added", more[1].id),
            )
        ),
        ("cli:test", "client:deleted", "svc.backend", None, None),
    ]


@pytest.mark.sec(59)
def test_request_without_effect_records_no_event(administration, manager, trail):
    created = administration.create("backend", rights("tokens:mint"), administrator=OPERATOR)
    added = administration.add_secret(created.id, administrator=OPERATOR)
    before = events_of(trail)
    for change in ({}, {"scopes": ["tokens:mint"]}, {"vouches": False}):
        assert administration.change(created.id, administrator=manager, **change).rights == rights(
            "tokens:mint"
        )
    administration.create_if_absent("backend", rights("tokens:mint"), administrator=OPERATOR)
    for action, *arguments in (
        (administration.create, "backend", rights("tokens:mint")),
        (administration.create, "other", rights("keys:write")),
        (administration.add_secret, created.id),
        (administration.delete_secret, created.id, "sec_none"),
        (administration.delete, "svc.none"),
    ):
        refusal_of(action, *arguments, administrator=manager)
    refusal_of(administration.change, created.id, scopes=["keys:write"], administrator=manager)
    assert events_of(trail) == before
    assert before[-1][-2] == {"secret": added.id}


ACTIONS = {
    "create": ("other", rights("tokens:mint")),
    "change": ("svc.backend", ["users:read"]),
    "add_secret": ("svc.backend",),
    "delete_secret": ("svc.backend", "first secret"),
    "delete": ("svc.backend",),
}


@pytest.mark.sec(59)
@pytest.mark.parametrize("action", ACTIONS)
def test_change_is_rolled_back_if_its_event_fails(administration, clients, monkeypatch, action):
    created = administration.create("backend", rights("tokens:mint"), administrator=OPERATOR)
    before = clients.page()

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(administration_module, "record", broken)
    arguments = [
        created.secrets[0].id if argument == "first secret" else argument
        for argument in ACTIONS[action]
    ]
    with pytest.raises(ZeroDivisionError):
        getattr(administration, action)(*arguments, administrator=OPERATOR)
    assert clients.page() == before
