"""Settings of issuers: accepted values, and the messages for invalid ones."""

from typing import Any

import pytest
from pydantic import ValidationError

from tokensvc.issuers.rules import overlapping_prefixes
from tokensvc.issuers.settings import IssuerSettings, JwksSettings

GOOD = {
    "name": "acme",
    "issuer": "https://id.acme.example",
    "audience": "chat",
    "jwks_uri": "https://id.acme.example/jwks.json",
}


def fault(**members: Any) -> str:
    """Return the message for invalid settings; `None` removes a member."""
    given = {name: value for name, value in {**GOOD, **members}.items() if value is not None}
    with pytest.raises(ValidationError) as caught:
        IssuerSettings(**given)
    return str(caught.value)


def test_defaults_are_the_documented_ones() -> None:
    """Name, issuer, audience and the source of keys suffice."""
    settings = IssuerSettings(**GOOD).model_dump(exclude=set(GOOD), mode="json")
    assert settings == {
        "preset": None,
        "audience_claim": "aud",
        "required_claims": {},
        "anonymous": "accept",
        "discovery": False,
        "public_keys_file": None,
        "algorithms": ["RS256"],
        "user_id_claim": "sub",
        "user_id_mapping": "exact",
        "user_id_prefix": "",
        "sign_in_time": "auth_time",
        "types": ["JWT", "at+jwt"],
        "clock_leeway": 10,
        "clock_ahead": 2,
        "max_lifetime": 86400,
        "events": None,
    }


@pytest.mark.parametrize(
    ("members", "member"),
    [
        ({"name": None}, "name"),
        ({"name": "Acme"}, "name"),
        ({"name": "accounts"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": "https://id.acme.example\n"}, "issuer"),
        ({"audience_claim": "sub"}, "audience_claim"),
        ({"jwks_uri": "https://user:pw@id.acme.example/jwks.json"}, "jwks_uri"),
        ({"jwks_uri": "id.acme.example/jwks.json"}, "jwks_uri"),
        ({"jwks_uri": None}, "set now: none"),
        ({"discovery": True}, "set now: jwks_uri, discovery"),
        ({"jwks_uri": None, "discovery": True, "issuer": "acme"}, "https://"),
        ({"algorithms": []}, "algorithms"),
        ({"user_id_claim": ""}, "user_id_claim"),
        ({"user_id_mapping": "lower"}, "user_id_mapping"),
        ({"user_id_prefix": "a" * 65}, "user_id_prefix"),
        ({"sign_in_time": "exp"}, "sign_in_time"),
        ({"types": []}, "types"),
        ({"clock_leeway": -1}, "clock_leeway"),
        ({"clock_ahead": 61}, "clock_ahead"),
        ({"max_lifetime": 0}, "max_lifetime"),
        ({"audiance": "chat"}, "audiance"),
        ({"required_claims": {"a": None}}, "required_claims"),
        ({"required_claims": {"a": []}}, "required_claims"),
        ({"anonymous": "deny"}, "anonymous"),
        ({"events": {}}, "events.audience"),
        ({"events": {"audience": ""}}, "events.audience"),
        ({"events": {"audience": "x", "logout": "all"}}, "events.logout"),
        ({"events": {"audience": "x", "purge": True}}, "events.purge"),
        ({"events": {"audience": "x"}, "user_id_claim": "oid"}, "set user_id_claim to one of them"),
        ({"anonymous": "refuse"}, "set required_claims, such as {is_anonymous = false}"),
    ],
)
def test_invalid_member_is_refused_by_name(members: dict[str, Any], member: str) -> None:
    assert member in fault(**members)


@pytest.mark.sec(2)
@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none", "None", "ES256K", "RS1", ""])
def test_only_asymmetric_algorithms_can_be_configured(algorithm: str) -> None:
    """HS* and none are refused, also in addition to a valid algorithm."""
    assert "algorithms" in fault(algorithms=["RS256", algorithm])


def test_http_is_allowed_on_loopback_only() -> None:
    """A development issuer may speak http on loopback addresses."""
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]"):
        url = f"http://{host}:8080"
        assert IssuerSettings(**{**GOOD, "issuer": url, "jwks_uri": f"{url}/jwks"}).issuer == url


def test_several_audiences_may_be_given() -> None:
    """A web and a mobile app have two client IDs."""
    assert IssuerSettings(**{**GOOD, "audience": ["web", "ios"]}).audience == ("web", "ios")


def test_preset_needs_only_an_audience() -> None:
    """Two lines configure a provider."""
    settings = IssuerSettings(preset="firebase:my-project", audience="my-project")
    assert settings.name == "firebase"
    assert settings.issuer == "https://securetoken.google.com/my-project"
    with pytest.raises(ValidationError, match="audience"):
        IssuerSettings(preset="firebase:my-project")


def test_explicit_members_override_a_preset() -> None:
    """For example a sign-in claim that a tenant adds."""
    settings = IssuerSettings(
        preset="auth0:my-tenant", audience="x", name="customers", sign_in_time="auth_time"
    )
    assert (settings.name, settings.sign_in_time) == ("customers", "auth_time")


@pytest.mark.parametrize("member", ["issuer", "jwks_uri", "discovery", "public_keys_file"])
def test_issuer_and_key_source_cannot_override_a_preset(member: str) -> None:
    with pytest.raises(ValidationError, match=f"already sets {member}"):
        IssuerSettings(preset="auth0:my-tenant", audience="x", **{member: "true"})


def test_message_for_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"google.*firebase:my-project.*clerk:"):
        IssuerSettings(preset="google:x", audience="x")


@pytest.mark.parametrize(
    "members",
    [
        {"refresh": 0},
        {"cooldown": 0},
        {"timeout": 0},
        {"max_stale": 59},
        {"refresh": 600, "max_stale": 300},
        {"allowed_networks": ["10.0.0.0/33"]},
        {"allowed_networks": ["id.acme.example"]},
        {"max_age": 1},
    ],
)
def test_invalid_settings_of_the_key_cache_are_refused(members: dict[str, Any]) -> None:
    """Old keys are used longer than a refresh interval."""
    with pytest.raises(ValidationError):
        JwksSettings(**members)


@pytest.mark.sec(12)
def test_leeway_is_ten_seconds_and_at_most_sixty() -> None:
    assert IssuerSettings(**GOOD).clock_leeway == 10
    assert IssuerSettings(**GOOD, clock_leeway=60).clock_leeway == 60
    with pytest.raises(ValidationError):
        IssuerSettings(**GOOD, clock_leeway=61)


@pytest.mark.sec(17)
def test_fetch_of_keys_takes_at_most_three_seconds() -> None:
    assert JwksSettings().timeout == 3
    with pytest.raises(ValidationError):
        JwksSettings(timeout=3.1)


@pytest.mark.sec(13)
@pytest.mark.parametrize(
    ("sources", "pairs"),
    [
        ([], []),
        ([("a", "")], []),
        ([("a", "x-"), ("b", "y-")], []),
        ([("a", ""), ("b", "y-")], [("a", "b")]),
        ([("a", "x"), ("b", "xy")], [("a", "b")]),
        ([("a", "xy"), ("b", "x")], [("a", "b")]),
        ([("a", "x"), ("b", "x")], [("a", "b")]),
        ([("a", "x-"), ("b", "y-"), ("c", "")], [("a", "c"), ("b", "c")]),
        ([("a", "x-1"), ("b", "x-2")], []),
    ],
)
def test_prefixes_overlap_if_one_begins_with_the_other(
    sources: list[tuple[str, str]], pairs: list[tuple[str, str]]
) -> None:
    assert overlapping_prefixes(sources) == pairs
