"""
Settings of identity providers, from a provider name and an argument.

Each preset follows the provider's documentation of the token that an app sends to its backend.
`sign_in_time` is the strongest claim that such a token always contains: a silent refresh changes
`iat`, but not `auth_time` and `amr`. The mapping is `exact` where the provider's IDs are legal user
IDs, and `escape` where they contain capitals or `|`.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})+"
_GUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"


class _Preset(NamedTuple):
    usage: str
    argument: re.Pattern[str]
    members: Callable[[re.Match[str]], dict[str, Any]]
    anonymous: tuple[str, str | bool] | None = None


def expand(preset: str) -> dict[str, Any]:
    """
    Return the settings of a preset such as `firebase:my-project`, all except `audience`.

    Raises:
        ValueError: The preset is unknown or malformed; the message shows the known forms.
    """
    provider, _, argument = preset.partition(":")
    known = _PRESETS.get(provider)
    if known is None:
        usages = ", ".join(preset.usage for preset in _PRESETS.values())
        raise ValueError(f"{provider!r} is not a preset. Known presets: {usages}")
    found = known.argument.fullmatch(argument)
    if found is None:
        raise ValueError(f"{preset!r} should look like {known.usage}")
    return {"name": provider, "algorithms": ["RS256"], **known.members(found)}


def anonymous_mark(preset: str | None) -> tuple[str, str | bool] | None:
    """
    Return the claim that every token of a preset's provider has, and its value for anonymous users.

    Returns:
        `None` if this service knows no such claim.
    """
    known = _PRESETS.get((preset or "").partition(":")[0])
    return known.anonymous if known is not None else None


def _firebase(found: re.Match[str]) -> dict[str, Any]:
    """ID tokens of Firebase Authentication. `audience` is the project ID."""
    return {
        "issuer": f"https://securetoken.google.com/{found[0]}",
        "jwks_uri": "https://www.googleapis.com/service_accounts/v1/jwk/"
        "securetoken@system.gserviceaccount.com",
        "sign_in_time": "auth_time",
        "user_id_mapping": "escape",
    }


def _auth0(found: re.Match[str]) -> dict[str, Any]:
    """
    Access tokens of both profiles (`JWT` and `at+jwt`). `audience` is the API identifier.

    The issuer ends with a slash. `auth_time` is in ID tokens only, and only on request.
    """
    issuer = f"https://{found[1]}.auth0.com/"
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "sign_in_time": "iat",
        "user_id_mapping": "escape",
    }


def _cognito(found: re.Match[str]) -> dict[str, Any]:
    """Access tokens of a user pool, without `aud`. `audience` is the ID of the app client."""
    issuer = f"https://cognito-idp.{found['region']}.amazonaws.com/{found['pool']}"
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "audience_claim": "client_id",
        "required_claims": {"token_use": "access"},
        "sign_in_time": "auth_time",
        "user_id_mapping": "exact",
    }


def _keycloak(found: re.Match[str]) -> dict[str, Any]:
    """Access tokens of a realm. `audience` is the value that an audience mapper adds."""
    issuer = f"https://{found['base']}/realms/{found['realm']}"
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/protocol/openid-connect/certs",
        "sign_in_time": "auth_time",
        "user_id_mapping": "exact",
    }


def _supabase(found: re.Match[str]) -> dict[str, Any]:
    """Access tokens of a project with asymmetric signing keys. `audience` is `authenticated`."""
    issuer = f"https://{found[0]}.supabase.co/auth/v1"
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "algorithms": ["ES256", "RS256"],
        "sign_in_time": "amr",
        "user_id_mapping": "exact",
    }


def _okta(found: re.Match[str]) -> dict[str, Any]:
    """
    Access tokens of a custom authorization server. `audience` is the server's, `api://default`.

    Their `sub` is the login name, which can be reassigned; `uid` identifies the user.
    """
    issuer = f"https://{found['domain']}/oauth2/{found['server'] or 'default'}"
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/v1/keys",
        "user_id_claim": "uid",
        "sign_in_time": "auth_time",
        "user_id_mapping": "escape",
    }


def _entra(found: re.Match[str]) -> dict[str, Any]:
    """
    Version 2.0 tokens of one tenant. `audience` is the application (client) ID of the API.

    `sub` differs for each application; `oid` identifies the user in the tenant.
    """
    tenant = f"https://login.microsoftonline.com/{found[0]}"
    return {
        "issuer": f"{tenant}/v2.0",
        "jwks_uri": f"{tenant}/discovery/v2.0/keys",
        "user_id_claim": "oid",
        "sign_in_time": "iat",
        "user_id_mapping": "exact",
    }


def _clerk(found: re.Match[str]) -> dict[str, Any]:
    """
    Session tokens, without `aud`. `azp`, and so `audience`, is the origin of the app.

    `required_claims = {sts = "active"}` refuses sessions with pending tasks, such as a second
    factor.
    """
    issuer = f"https://{found[0]}"
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "audience_claim": "azp",
        "sign_in_time": "iat",
        "user_id_mapping": "escape",
    }


_PRESETS = {
    "firebase": _Preset(
        "firebase:my-project",
        re.compile(r"[a-z0-9][a-z0-9.:-]*"),
        _firebase,
        ("firebase.sign_in_provider", "anonymous"),
    ),
    "auth0": _Preset(
        "auth0:tenant.eu", re.compile(rf"({_LABEL}(?:\.{_LABEL})*?)(?:\.auth0\.com)?"), _auth0
    ),
    "cognito": _Preset(
        "cognito:eu-west-1/eu-west-1_AbCdEfGhI",
        re.compile(r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)/(?P<pool>(?P=region)_[A-Za-z0-9]+)"),
        _cognito,
    ),
    "keycloak": _Preset(
        "keycloak:id.example.com/realm",
        re.compile(rf"(?P<base>{_DOMAIN}(?::\d+)?(?:/[\w.-]+)*)/(?P<realm>[\w.-]+)", re.ASCII),
        _keycloak,
    ),
    "supabase": _Preset(
        "supabase:abcdefghijklmnopqrst", re.compile(_LABEL), _supabase, ("is_anonymous", True)
    ),
    "okta": _Preset(
        "okta:dev-1234.okta.com",
        re.compile(rf"(?P<domain>{_DOMAIN})(?:/(?P<server>[A-Za-z0-9]+))?"),
        _okta,
    ),
    "entra": _Preset(
        "entra:11111111-2222-3333-4444-555555555555 (the tenant ID, in lower case)",
        re.compile(_GUID),
        _entra,
    ),
    "clerk": _Preset("clerk:clerk.example.com", re.compile(_DOMAIN), _clerk),
}
