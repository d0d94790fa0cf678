"""Each line of an export that is not a whole event is named by its number, without a traceback."""

import json

import pytest

from testing.database_kinds import on_both

EVENT = {
    "id": "evt_01a2b3c4d5e6f000000000000",
    "time": 1_795_000_000,
    "actor": "cli:root",
    "action": "user:suspended",
    "subject": "user-ada",
    "outcome": "ok",
    "request_id": None,
    "reason": None,
    "details": None,
}
DETAILS = [
    ("user:suspended", {"tokens_valid_after": "abc"}),
    ("user:suspended", {"tokens_valid_after": 10**30}),
    ("user:suspended", {"tokens_valid_after": -1}),
    ("user:suspended", {"tokens_valid_after": 1.5}),
    ("app:revoked", {"revocation": 7}),
    ("password:reset", {"revocation": "rev\u0000"}),
    ("user:revocation_undone", {"revocation": 7}),
    ("app:floor_lowered", {"floor": "now"}),
    ("client:changed", {"scopes": "tokens:mint"}),
    ("client:changed", {"vouches": "yes"}),
    ("client_secret:deleted", {"secret": 1}),
    ("database:restored", {"secrets_disabled": 1}),
    ("token:minted", []),
    ("token:minted", "details"),
]
MEMBERS = [
    {"time": 10**30},
    {"time": -1},
    {"time": "1"},
    {"time": 1e400},
    {"id": "rev_1"},
    {"id": "evt_"},
    {"id": None},
    {"actor": "\u0000"},
    {"subject": None},
    {"subject": "\ud800"},
    {"reason": ["spam"]},
    {"chain": "none"},
    {"chain": {"key": "0"}},
]
LINES = [
    "[]",
    "null",
    "{",
    '{"id":' * 100_000,
    '{"unknown":' + "[" * 100_000,
    "\u00ff",
    *(json.dumps({**EVENT, "action": action, "details": facts}) for action, facts in DETAILS),
    *(json.dumps({**EVENT, **members}) for members in MEMBERS),
    *(json.dumps({k: v for k, v in EVENT.items() if k != name}) for name in ("id", "time")),
]


@pytest.mark.sec(69)
def test_malformed_line_is_named_and_nothing_changes(scene, lost):
    export = lost()
    for line in LINES:
        export.write_text(f"{json.dumps(EVENT)}\n\n{line}\n{json.dumps(EVENT)}\n")
        ended = scene.command("after-restore", "--replay", str(export), "--unverified")
        assert ended.code == 1, line[:200]
        assert "Error: Line 3 of the export is not an audit event: " in ended.err, line[:200]
    assert "was restored from a backup" in scene.command("token", "mint", "user-ada").err


@on_both
@pytest.mark.sec(69)
def test_unverified_event_of_an_unknown_kind_or_of_odd_values_is_no_traceback(scene, lost):
    """On PostgreSQL too, which stores no NUL."""
    odd = [
        {**EVENT, "subject": "", "reason": "\U0001f600" * 1000},
        {**EVENT, "id": "evt_2", "action": "user:undone", "details": {"new": ["a"], "flag": True}},
        {**EVENT, "id": "evt_3", "time": 0, "details": {"tokens_valid_after": 2**39}},
        {**EVENT, "id": "evt_4", "action": "client:changed", "details": {"scopes": ["none"]}},
        {**EVENT, "id": "evt_5", "action": "app:floor_lowered", "details": {"floor": 2**39}},
        {**EVENT, "id": "evt_6", "action": "account:deleted", "subject": "a b"},
    ]
    export = lost()
    export.write_text("".join(f"{json.dumps(event)}\n" for event in odd))
    result = scene.json("after-restore", "--replay", str(export), "--unverified")
    assert result["verified"] is False
