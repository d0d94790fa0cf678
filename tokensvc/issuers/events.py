"""
Events of an identity provider: their checks, what they mean, and about whom they are. Pure.

Sources: OpenID Connect Back-Channel Logout 1.0 section 2.6, RFC 8417 section 2, RFC 9493 section 3,
and the events of CAEP, RISC and the Shared Signals Framework.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tokensvc.core.errors import invalid_credential
from tokensvc.core.user_ids import Alphabet
from tokensvc.issuers import rules
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.issuers.verify import UnverifiedToken

_MARGIN = 300
"""Seconds by which rows outlive their tokens: for the leeway, and because clocks differ."""


class EventForm(StrEnum):
    """Form of an event, as the `typ` of its token."""

    LOGOUT = "logout+jwt"
    SECURITY_EVENT = "secevent+jwt"

    @property
    def max_age(self) -> int:
        """
        Seconds after `iat` in which an event without `exp` is accepted.

        Security events have no `exp`, and their sender may repeat one for hours (RFC 8935).
        """
        return 120 if self is EventForm.LOGOUT else 24 * 3600


class Effect(StrEnum):
    """What an event does."""

    SIGN_OUT = "sign_out"
    END_SESSION = "end_session"
    SUSPEND = "suspend"
    ERASE = "erase"
    REINSTATE = "reinstate"


_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
_EFFECTS: Mapping[str, Effect] = {
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked": Effect.SIGN_OUT,
    "https://schemas.openid.net/secevent/caep/event-type/credential-change": Effect.SIGN_OUT,
    "https://schemas.openid.net/secevent/risc/event-type/credential-compromise": Effect.SIGN_OUT,
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled": Effect.SUSPEND,
    "https://schemas.openid.net/secevent/risc/event-type/account-purged": Effect.ERASE,
    "https://schemas.openid.net/secevent/risc/event-type/account-enabled": Effect.REINSTATE,
}
"""Effects of security events. Others, such as a stream's verification, have none."""


_TYPES: Mapping[EventForm, Collection[str]] = {
    # Providers that do not follow the recommendation write `JWT`. A logout that is not accepted
    # signs nobody out, and a user's token has no `events`.
    EventForm.LOGOUT: (EventForm.LOGOUT, "jwt"),
    EventForm.SECURITY_EVENT: (EventForm.SECURITY_EVENT,),
}
"""Accepted `typ` of a token (OpenID Connect Back-Channel Logout 1.0 section 2.4, RFC 8417)."""


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """
    A session at the provider that has ended.

    Attributes:
        provider_session: Key of its `sid`, as `session_key` returns it.
        refused_until: Epoch seconds after which each of its tokens has expired.
    """

    provider_session: str
    refused_until: int


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """
    A verified event that has an effect.

    Attributes:
        issuer: Configured name of the issuer.
        name: Name of the event, such as `session-revoked`.
        user_id: ID of the user whom it is about.
        issued_by: Epoch seconds, the latest time on this service's clock at which it was issued.
        key: Key of its `jti`: an event is applied once.
        remembered_until: Epoch seconds after which the event has expired.
        session: Session that has ended, if the effect is `END_SESSION`.
    """

    issuer: str
    name: str
    effect: Effect
    user_id: str
    issued_by: int
    key: str
    remembered_until: int
    session: ProviderSession | None


def check_form(issuer: IssuerSettings, token: UnverifiedToken, form: EventForm) -> None:
    """
    Refuse a token of another issuer or type, and one that is no event.

    Raises:
        Refusal: `credentials_invalid`.
    """
    if token.issuer != issuer.issuer:
        raise invalid_credential("The token's `iss` is not that of this issuer.", "unknown issuer")
    if token.typ is not None and rules.media_type(token.typ) not in _TYPES[form]:
        raise invalid_credential(f"The token's type (`typ`) is not `{form}`.", "type")
    events = token.claims.get("events")
    if not isinstance(events, dict) or not all(
        isinstance(about, dict) for about in events.values()
    ):
        raise invalid_credential("The token has no `events`: it is not an event.", "no events")
    if "nonce" in token.claims:
        raise invalid_credential("An event must not have a `nonce`.", "nonce")


def check_claims(
    issuer: IssuerSettings, claims: dict[str, Any], form: EventForm, now: float
) -> None:
    """
    Check for whom an event is, its times, and that it has an ID.

    Raises:
        Refusal: `credentials_invalid`, `credentials_expired`.
    """
    rules.check_audience("aud", issuer.events.audience if issuer.events else (), claims)
    rules.check_times(issuer, claims, now)
    if "exp" not in claims and claims["iat"] < now - form.max_age:
        raise invalid_credential(
            f"The event has no `exp`, and its `iat` is over {form.max_age} s ago.", "too old"
        )
    if not claims.get("jti"):
        raise invalid_credential("The event has no `jti`.", "no jti")


def event_of(
    issuer: IssuerSettings,
    claims: dict[str, Any],
    form: EventForm,
    alphabet: Alphabet,
    now: float,
) -> ProviderEvent | None:
    """
    Return what verified claims say; `None` if nothing follows from the event.

    Raises:
        Refusal: `credentials_invalid`, `user_id_invalid`.
    """
    known = {_LOGOUT} if form is EventForm.LOGOUT else _EFFECTS.keys()
    named = [uri for uri in claims["events"] if uri in known]
    if not named and form is EventForm.SECURITY_EVENT:
        return None
    if len(named) != 1:
        raise invalid_credential("The token must have one event that this service knows.", "events")
    uri = named[0]
    if uri == _LOGOUT:
        _check_names_user(claims)
    user_id = _user_id(issuer, claims, claims["events"][uri], alphabet)
    session = _ended_session(issuer, user_id, claims, now) if uri == _LOGOUT else None
    effect = _EFFECTS.get(uri, Effect.SIGN_OUT) if session is None else Effect.END_SESSION
    if effect is Effect.ERASE and not (issuer.events and issuer.events.purge_erases):
        effect = Effect.SUSPEND
    expires_at = claims.get("exp", claims["iat"] + form.max_age)
    return ProviderEvent(
        issuer=issuer.name,
        name=uri.rpartition("/")[2],
        effect=effect,
        user_id=user_id,
        issued_by=claims["iat"] + issuer.clock_leeway,
        key=_key(issuer, claims["jti"]),
        remembered_until=expires_at + _MARGIN,
        session=session,
    )


def session_key(issuer: IssuerSettings, user_id: str, claims: dict[str, Any]) -> str | None:
    """
    Return the key of a user's session at the provider; `None` if a logout ends no single sessions.

    It has the user too: a logout of one user ends no session of another.
    """
    if issuer.events is None or issuer.events.logout != "session":
        return None
    sid = claims.get("sid")
    return _key(issuer, f"{user_id}\x00{sid}") if isinstance(sid, str) and sid else None


def _check_names_user(claims: dict[str, Any]) -> None:
    if "sid" in claims and "sub" not in claims:
        raise invalid_credential(
            "The logout token has a `sid` and no `sub`, so its user is unknown: configure the "
            "provider to send both.",
            "sid without sub",
        )


def _ended_session(
    issuer: IssuerSettings, user_id: str, claims: dict[str, Any], now: float
) -> ProviderSession | None:
    key = session_key(issuer, user_id, claims)
    if key is None:
        return None
    return ProviderSession(key, int(now) + issuer.max_lifetime + _MARGIN)


def _user_id(
    issuer: IssuerSettings, claims: dict[str, Any], about: dict[str, Any], alphabet: Alphabet
) -> str:
    """Return the ID of the only user that an event names."""
    found = {
        rules.user_id(issuer, _claims_of(issuer, subject), alphabet)
        for subject in _subjects(claims, about)
    }
    if len(found) != 1:
        raise invalid_credential("The event must name one user.", "subject")
    return found.pop()


def _subjects(claims: dict[str, Any], about: dict[str, Any]) -> Iterator[object]:
    """Yield the subject in each place where a specification, or a draft of one, has it."""
    if "sub" in claims:
        yield {"format": "iss_sub", "iss": claims["iss"], "sub": claims["sub"]}
    if "sub_id" in claims:
        yield claims["sub_id"]
    if "subject" in about:
        yield about["subject"]


def _claims_of(issuer: IssuerSettings, subject: object) -> dict[str, Any]:
    """Return a subject as the claims of a user's token (RFC 9493 section 3)."""
    if isinstance(subject, dict) and subject.get("format", "complex") == "complex":
        subject = subject.get("user")  # its session or device does not matter (SSF section 3.2)
    match subject, issuer.user_id_claim:
        case {"format": "iss_sub", "iss": issuer.issuer, "sub": sub}, "sub":
            return {"sub": sub}
        case {"format": "email", "email": email, **others}, "email":
            _check_verified(issuer, others)
            return {"email": email, "email_verified": True}
    raise invalid_credential(
        "The event's subject is not a user of this issuer: it must be `iss_sub` with this issuer, "
        "or `email` if `user_id_claim` of the issuer is `email`.",
        "subject",
    )


def _check_verified(issuer: IssuerSettings, subject: Mapping[Any, object]) -> None:
    """Refuse an address that its user may have entered: it can be that of another user."""
    is_trusted = issuer.events is not None and issuer.events.trusts_email
    if not is_trusted and subject.get("email_verified") is not True:
        raise invalid_credential(
            "The subject's e-mail address is not verified (`email_verified`). If the provider "
            "verifies each address, set `events.trusts_email` of the issuer.",
            "e-mail not verified: see issuers[].events.trusts_email",
        )


def _key(issuer: IssuerSettings, text: str) -> str:
    """Return a key for an ID of the issuer. The ID may be long, and may not be Unicode."""
    named = f"{issuer.issuer}\x00{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(named).hexdigest()
