"""A replay of lines from before events had details."""

import json

import pytest


@pytest.mark.sec(66)
def test_event_without_details_is_replayed_by_its_time(scene, lost, replay):
    """The previous release wrote such events."""
    client = scene.json("clients", "create", "one", "--scope", "tokens:mint")
    secret = client["secrets"][0]["id"]
    revoke = ("users", "revoke", "user-ada")
    delete = ("clients", "delete", client["id"], "--secret", secret)
    export = lost(revoke, delete)
    events = [json.loads(line) for line in export.read_text().splitlines()]
    for event in events:
        del event["details"]
    export.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    replay(export, "--complete", "--unverified")
    (revoked,) = [event for event in events if event["action"] == "user:revoked"]
    assert scene.json("users", "show", "user-ada")["tokens_valid_after"] > revoked["time"]
    (found,) = scene.json("clients", "list")
    assert found["secrets"] == []


@pytest.mark.sec(66)
def test_line_with_its_facts_in_the_reason_has_the_same_effect(scene, lost, replay):
    """Events had their facts there before they had details, in front of the actor's words."""
    scopes = ("--scope", "tokens:mint", "--scope", "keys:write")
    client = scene.json("clients", "create", "one", *scopes, "--vouches")
    second = scene.json("clients", "rotate", client["id"])
    change = ("--remove-scope", "keys:write", "--add-scope", "users:read", "--no-vouches")
    export = lost(
        ("clients", "update", client["id"], *change, "--reason", "x; vouches: yes"),
        ("clients", "delete", client["id"], "--secret", second["id"], "--reason", "x; secret: x"),
        ("users", "suspend", "user-ada", "--reason", "revocation: none"),
        ("users", "reinstate", "user-ada"),
    )
    reasons = {
        "client:changed": "scopes: +users:read -keys:write; vouches: no; reason: x; vouches: yes",
        "client_secret:deleted": f"secret: {second['id']}; reason: x; secret: x",
    }

    def effect():
        replay(export, "--complete", "--unverified")
        (found,) = scene.json("clients", "list")
        secrets = [secret["id"] for secret in found["secrets"]]
        return (
            found["scopes"],
            found["vouches"],
            secrets,
            scene.json("users", "show", "user-ada")["suspended"],
        )

    today = effect()
    events = [json.loads(line) for line in export.read_text().splitlines()]
    for event in events:
        del event["details"], event["chain"]
        event["reason"] = reasons.get(event["action"], event["reason"])
    export.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    scene.lose_database()
    scene.restore()
    assert effect() == today == (["tokens:mint"], False, [client["secrets"][0]["id"]], False)
