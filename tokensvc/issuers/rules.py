"""
Checks of the claims of an issuer's token, and of user ID prefixes. Pure.

`CLAIM_CHECKS` has the checks in the order in which they run; `exp` is the last, so that
`credentials_expired` means that nothing else is wrong.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tokensvc.core.errors import Code, Refusal, invalid_credential
from tokensvc.core.user_ids import Alphabet, map_subject
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.issuers.verify import UnverifiedToken, claim, is_time

_SILENT_REFRESH = "token_refresh"
"""An `amr` method that is not a sign-in."""


def check_algorithm(issuer: IssuerSettings, token: UnverifiedToken) -> None:
    """
    Refuse an algorithm that is not configured for the issuer, before any key is looked up.

    Raises:
        Refusal: `credentials_invalid`.
    """
    if token.algorithm not in issuer.algorithms:
        raise invalid_credential(
            "The token's algorithm is not configured for its issuer.", "algorithm"
        )


def check_type(issuer: IssuerSettings, token: UnverifiedToken) -> None:
    """
    Refuse a token of another kind, such as a logout token (RFC 8725 section 3.11).

    Raises:
        Refusal: `credentials_invalid`.
    """
    if token.typ is not None and media_type(token.typ) not in map(media_type, issuer.types):
        raise invalid_credential("The token's type (`typ`) is not accepted as a sign-in.", "type")
    if "events" in token.claims:
        raise invalid_credential("The token is an event (`events`), not a sign-in.", "event")


def signed_in_at(issuer: IssuerSettings, claims: dict[str, Any]) -> int:
    """
    Return the time of the user's sign-in, epoch seconds.

    Raises:
        Refusal: `credentials_invalid`; the claim is missing or not a time.
    """
    name = issuer.sign_in_time
    at = _earliest_sign_in(claims.get(name)) if name == "amr" else claims.get(name)
    if not is_time(at):
        raise invalid_credential(
            f"This token of issuer {issuer.name} has no valid `{name}` claim. Add the claim at the "
            "provider, or set `issuers[].sign_in_time` to a claim that its tokens contain "
            "(with `iat` a silent renewal passes a revocation).",
            f"no valid {name} claim: see issuers[].sign_in_time (with iat a silent renewal passes "
            "a revocation)",
        )
    return int(at)


def check_sign_in_time(signed_in_at: int, clock_ahead: int, now: float) -> None:
    """
    Refuse a sign-in time in the future, which a revocation before that time would not cover.

    Args:
        signed_in_at: Time of the sign-in, epoch seconds on the issuer's clock.
        clock_ahead: Seconds by which the issuer's clock may be ahead.
        now: Epoch seconds on the clock that dates revocations.

    Raises:
        Refusal: `credentials_invalid`.
    """
    if signed_in_at > now + clock_ahead:
        raise invalid_credential(
            "The token has a sign-in time in the future: check the provider's clock.",
            "sign-in time in the future: see issuers[].clock_ahead",
        )


def user_id(issuer: IssuerSettings, claims: dict[str, Any], alphabet: Alphabet) -> str:
    """
    Return the user ID of the token's user.

    Raises:
        Refusal: `user_id_invalid`.
    """
    name = issuer.user_id_claim
    if name == "email" and claims.get("email_verified") is not True:
        raise Refusal(
            Code.USER_ID_INVALID,
            "The e-mail address in the token is not verified: verify it, then sign in again.",
            reason="e-mail not verified",
        )
    return map_subject(
        claims.get(name),
        mapping=issuer.user_id_mapping,
        prefix=issuer.user_id_prefix,
        issuer=issuer.issuer,
        alphabet=alphabet,
    )


def owner(issuer: IssuerSettings, claims: dict[str, Any], alphabet: Alphabet) -> str:
    """Return the key of a genuine token's user: the user ID, or if it is not legal, a hash."""
    try:
        return user_id(issuer, claims, alphabet)
    except Refusal:
        claim = json.dumps(claims.get(issuer.user_id_claim))
        return f"{issuer.name}/{hashlib.sha256(claim.encode()).hexdigest()}"


def is_expired(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> bool:
    """Return whether `exp` has passed, with the leeway."""
    return bool(claims["exp"] <= now - issuer.clock_leeway)


def overlapping_prefixes(sources: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """
    Return the pairs of sources that could give two people the same user ID.

    Args:
        sources: Name and prefix of each source of user IDs; the empty prefix is a prefix of all.
    """
    return [
        (name, other)
        for index, (name, prefix) in enumerate(sources)
        for other, other_prefix in sources[index + 1 :]
        if prefix.startswith(other_prefix) or other_prefix.startswith(prefix)
    ]


def check_times(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> None:
    """Check the times of a token that needs no `exp`."""
    _check_issued(issuer, claims, now)
    _check_not_before(issuer, claims, now)
    if "exp" in claims:
        _check_lifetime(issuer, claims, now)
        _check_expiry(issuer, claims, now)


def _check_issued(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> None:
    if claims["iat"] > now + issuer.clock_leeway:
        raise invalid_credential(
            "The token's `iat` is in the future: check the clocks.", "issued later"
        )


def _check_not_before(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> None:
    if claims.get("nbf", 0) > now + issuer.clock_leeway:
        raise invalid_credential("The token is not valid yet (`nbf`).", "not valid yet")


def _check_lifetime(issuer: IssuerSettings, claims: dict[str, Any], _now: float) -> None:
    if claims["exp"] - claims["iat"] > issuer.max_lifetime:
        raise invalid_credential(
            "The token's lifetime (`exp` - `iat`) exceeds the maximum of its issuer.", "lifetime"
        )


def _check_audience(issuer: IssuerSettings, claims: dict[str, Any], _now: float) -> None:
    check_audience(issuer.audience_claim, issuer.audience, claims)


def check_audience(name: str, accepted: Sequence[str], claims: dict[str, Any]) -> None:
    """Refuse a token whose claim `name` contains none of the accepted audiences."""
    audiences = claims.get(name)
    if isinstance(audiences, str):
        audiences = [audiences]
    elif name != "aud" or not isinstance(audiences, list):
        audiences = []
    are_strings = all(isinstance(audience, str) for audience in audiences)
    if not are_strings or set(accepted).isdisjoint(audiences):
        raise invalid_credential(f"The token's `{name}` does not contain this service.", "audience")


def _check_required(issuer: IssuerSettings, claims: dict[str, Any], _now: float) -> None:
    for name, required in issuer.required_claims.items():
        value = claim(claims, name)
        accepted = required if isinstance(required, tuple) else (required,)
        if (type(value), value) not in [(type(one), one) for one in accepted]:  # True == 1
            raise invalid_credential(
                f"The token's `{name}` does not have the required value.", "required claim"
            )


def _check_anonymous(issuer: IssuerSettings, claims: dict[str, Any], _now: float) -> None:
    if issuer.anonymous_mark is None:
        return
    name, mark = issuer.anonymous_mark
    value = claim(claims, name)
    if type(value) is not type(mark) or value == mark:
        raise invalid_credential(
            f"Anonymous users get no token: `{name}` must show another sign-in. Sign the user in.",
            "anonymous: see issuers[].anonymous",
        )


def _check_sign_in(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> None:
    check_sign_in_time(signed_in_at(issuer, claims), issuer.clock_ahead, now)


def _check_expiry(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> None:
    if is_expired(issuer, claims, now):
        raise Refusal(
            Code.CREDENTIALS_EXPIRED,
            "The token has expired: get a new one from its issuer.",
            reason="expired",
        )


class ClaimCheck(NamedTuple):
    """
    One check of the claims.

    Attributes:
        name: Name for operators.
        claims: Returns the names of the claims that it reads.
        setting: Setting of the issuer that decides.
        run: Raises a refusal if the check fails.
    """

    name: str
    claims: Callable[[IssuerSettings], tuple[str, ...]]
    setting: str
    run: Callable[[IssuerSettings, dict[str, Any], float], object]


_CHECKS = (
    ClaimCheck("issued in the past", lambda _: ("iat",), "clock_leeway", _check_issued),
    ClaimCheck("already valid", lambda _: ("nbf",), "clock_leeway", _check_not_before),
    ClaimCheck("lifetime", lambda _: ("iat", "exp"), "max_lifetime", _check_lifetime),
    ClaimCheck("audience", lambda issuer: (issuer.audience_claim,), "audience", _check_audience),
    ClaimCheck(
        "required claims",
        lambda issuer: tuple(issuer.required_claims),
        "required_claims",
        _check_required,
    ),
    ClaimCheck(
        "anonymous users",
        lambda issuer: (issuer.anonymous_mark or ())[:1],
        "anonymous",
        _check_anonymous,
    ),
)
CLAIM_CHECKS = (
    *_CHECKS,
    ClaimCheck(
        "sign-in",
        lambda issuer: (issuer.sign_in_time,),
        "sign_in_time and clock_ahead",
        _check_sign_in,
    ),
    ClaimCheck("not expired", lambda _: ("exp",), "clock_leeway", _check_expiry),
)


def check_claims(issuer: IssuerSettings, claims: dict[str, Any], now: float) -> int:
    """
    Run all checks, and return the time of the user's sign-in, which may be in the future.

    The caller compares it with the clock of the standing: this host's clock does not date
    revocations.

    Raises:
        Refusal: `credentials_invalid`; `credentials_expired` if nothing else is wrong.
    """
    for check in _CHECKS:
        check.run(issuer, claims, now)
    at = signed_in_at(issuer, claims)
    _check_expiry(issuer, claims, now)
    return at


def _earliest_sign_in(amr: object) -> object:
    """
    Return the earliest time in an array such as `[{"method": "password", "timestamp": 1}]`.

    The array grows when a session adds a factor: a later entry is not a new sign-in.
    """
    entries = [
        entry
        for entry in (amr if isinstance(amr, list) else ())
        if isinstance(entry, dict) and is_time(entry.get("timestamp"))
    ]
    if all(entry.get("method") == _SILENT_REFRESH for entry in entries):
        return None
    return min(entry["timestamp"] for entry in entries)


def media_type(typ: str) -> str:
    """Normalise a `typ` (RFC 7515 section 4.1.9): no `application/`, lower case."""
    return typ.lower().removeprefix("application/")
