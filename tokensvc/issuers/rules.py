"""
What the claims of an issuer's token must say, and whose ids may meet. Pure.

The checks stand in `CLAIM_CHECKS` in the order in which they are made; `exp` is the last, so that
`credentials_expired` says that nothing else is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet, Mapping, map_subject
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.issuers.verify import UnverifiedToken, is_time

_SILENT_REFRESH = "token_refresh"
"""An `amr` method that is no sign-in."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """An issuer's settings, made ready to be compared with."""

    issuer: str
    algorithms: frozenset[str]
    types: frozenset[str]
    audiences: frozenset[str]
    audience_claim: str
    required: tuple[tuple[str, str | bool | int], ...]
    user_id_claim: str
    mapping: Mapping
    prefix: str
    alphabet: Alphabet
    sign_in_time: str
    leeway: int
    max_lifetime: int

    @classmethod
    def of(cls, settings: IssuerSettings, alphabet: Alphabet) -> "ClaimRules":
        """Make the rules of one issuer."""
        return cls(
            issuer=settings.issuer,
            algorithms=frozenset(settings.algorithms),
            types=frozenset(_media_type(typ) for typ in settings.types),
            audiences=frozenset(settings.audience),
            audience_claim=settings.audience_claim,
            required=tuple(settings.required_claims.items()),
            user_id_claim=settings.user_id_claim,
            mapping=settings.user_id_mapping,
            prefix=settings.user_id_prefix,
            alphabet=alphabet,
            sign_in_time=settings.sign_in_time,
            leeway=settings.clock_leeway,
            max_lifetime=settings.max_lifetime,
        )


def check_algorithm(rules: ClaimRules, token: UnverifiedToken) -> None:
    """
    Refuse an algorithm that the issuer does not use, before any key is looked up.

    Raises:
        Refusal: `credentials_invalid`.
    """
    if token.algorithm not in rules.algorithms:
        raise _invalid(
            "The token is signed with an algorithm that its issuer must not use here.", "algorithm"
        )


def check_type(rules: ClaimRules, token: UnverifiedToken) -> None:
    """
    Refuse a token of another kind, such as a logout token (RFC 8725 section 3.11).

    Raises:
        Refusal: `credentials_invalid`.
    """
    if token.typ is not None and _media_type(token.typ) not in rules.types:
        raise _invalid("The token is not of a type (`typ`) that signs a user in.", "type")


def signed_in_at(rules: ClaimRules, claims: dict[str, Any], now: float) -> int:
    """
    Give when the user signed in, as far as the issuer's tokens tell.

    Raises:
        Refusal: `credentials_invalid`; the claim is missing, no time, or in the future, from where
            it would outlast a revocation yet to come.
    """
    name = rules.sign_in_time
    at = _latest_sign_in(claims.get(name)) if name == "amr" else claims.get(name)
    if not is_time(at):
        raise _invalid(
            f"The token has no usable `{name}`, which says when the user signed in: "
            "have the provider put it into the token.",
            "no sign-in time",
        )
    if at > now + rules.leeway:
        raise _invalid(
            f"The token's `{name}` lies in the future: check the provider's clock.",
            "sign-in in the future",
        )
    return int(at)


def user_id(rules: ClaimRules, claims: dict[str, Any]) -> str:
    """
    Give the Stream id of the token's user.

    Raises:
        Refusal: `user_id_invalid`.
    """
    name = rules.user_id_claim
    if name == "email" and claims.get("email_verified") is not True:
        raise Refusal(
            Code.USER_ID_INVALID,
            "The e-mail address in the token is not verified: verify it, then sign in again.",
            reason="e-mail not verified",
        )
    return map_subject(
        claims.get(name),
        mapping=rules.mapping,
        prefix=rules.prefix,
        issuer=rules.issuer,
        alphabet=rules.alphabet,
    )


def is_expired(rules: ClaimRules, claims: dict[str, Any], now: float) -> bool:
    """Tell whether `exp` has passed, with the leeway."""
    return bool(claims["exp"] <= now - rules.leeway)


def overlapping_prefixes(sources: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """
    Give the pairs of sources of user ids that could give the same id to two people.

    Args:
        sources: Name and prefix of each; the empty prefix is a prefix of all.
    """
    return [
        (name, other)
        for index, (name, prefix) in enumerate(sources)
        for other, other_prefix in sources[index + 1 :]
        if prefix.startswith(other_prefix) or other_prefix.startswith(prefix)
    ]


def _check_issued(rules: ClaimRules, claims: dict[str, Any], now: float) -> None:
    if claims["iat"] > now + rules.leeway:
        raise _invalid("The token is from the future (`iat`): check the clocks.", "issued later")


def _check_not_before(rules: ClaimRules, claims: dict[str, Any], now: float) -> None:
    if claims.get("nbf", 0) > now + rules.leeway:
        raise _invalid("The token is not valid yet (`nbf`).", "not valid yet")


def _check_lifetime(rules: ClaimRules, claims: dict[str, Any], _now: float) -> None:
    if claims["exp"] - claims["iat"] > rules.max_lifetime:
        raise _invalid(
            "The token lives longer (`exp` - `iat`) than its issuer's tokens may here.", "lifetime"
        )


def _check_audience(rules: ClaimRules, claims: dict[str, Any], _now: float) -> None:
    name = rules.audience_claim
    held = claims.get(name)
    if isinstance(held, str):
        held = [held]
    elif name != "aud" or not isinstance(held, list):
        held = []
    if not all(isinstance(one, str) for one in held) or rules.audiences.isdisjoint(held):
        raise _invalid(
            f"The token is for someone else: its `{name}` does not name this service.", "audience"
        )


def _check_required(rules: ClaimRules, claims: dict[str, Any], _now: float) -> None:
    for name, required in rules.required:
        held = claims.get(name)
        if type(held) is not type(required) or held != required:  # True == 1 in Python
            raise _invalid(
                f"The token's `{name}` is not what this service requires.", "required claim"
            )


def _check_expiry(rules: ClaimRules, claims: dict[str, Any], now: float) -> None:
    if is_expired(rules, claims, now):
        raise Refusal(
            Code.CREDENTIALS_EXPIRED,
            "The token has expired: get a fresh one from its issuer.",
            reason="expired",
        )


class ClaimCheck(NamedTuple):
    """
    One check of the claims.

    Attributes:
        name: For people.
        claims: Gives those that it looks at.
        setting: The issuer's member to change if the check should not refuse.
    """

    name: str
    claims: Callable[[ClaimRules], tuple[str, ...]]
    setting: str
    run: Callable[[ClaimRules, dict[str, Any], float], object]


_CHECKS = (
    ClaimCheck("issued in the past", lambda _: ("iat",), "clock_leeway", _check_issued),
    ClaimCheck("already valid", lambda _: ("nbf",), "clock_leeway", _check_not_before),
    ClaimCheck("lifetime", lambda _: ("iat", "exp"), "max_lifetime", _check_lifetime),
    ClaimCheck("audience", lambda rules: (rules.audience_claim,), "audience", _check_audience),
    ClaimCheck(
        "required claims",
        lambda rules: tuple(name for name, _ in rules.required),
        "required_claims",
        _check_required,
    ),
)
CLAIM_CHECKS = (
    *_CHECKS,
    ClaimCheck("sign-in", lambda rules: (rules.sign_in_time,), "sign_in_time", signed_in_at),
    ClaimCheck("not expired", lambda _: ("exp",), "clock_leeway", _check_expiry),
)


def check_claims(rules: ClaimRules, claims: dict[str, Any], now: float) -> int:
    """
    Make all checks, and give when the user signed in.

    Raises:
        Refusal: `credentials_invalid` or, when only that is wrong, `credentials_expired`.
    """
    for check in _CHECKS:
        check.run(rules, claims, now)
    at = signed_in_at(rules, claims, now)
    _check_expiry(rules, claims, now)
    return at


def _latest_sign_in(amr: object) -> object:
    """Give the latest time in an array such as `[{"method": "password", "timestamp": 1}]`."""
    if not isinstance(amr, list):
        return None
    times = [
        entry["timestamp"]
        for entry in amr
        if isinstance(entry, dict)
        and is_time(entry.get("timestamp"))
        and entry.get("method") != _SILENT_REFRESH
    ]
    return max(times, default=None)


def _media_type(typ: str) -> str:
    """RFC 7515 section 4.1.9: `application/` may be left out, and case does not count."""
    return typ.lower().removeprefix("application/")


def _invalid(detail: str, reason: str) -> Refusal:
    return Refusal(Code.CREDENTIALS_INVALID, detail, reason=reason)
