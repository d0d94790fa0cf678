"""
The one explanation of a token to an operator: what it contains, and why it is accepted or refused.

`doctor --token` and `token inspect` print it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tokensvc.app.services import Services
from tokensvc.callers.access_tokens import AccessTokenCallers, AccountCaller
from tokensvc.callers.rules import check_standing
from tokensvc.cli.printer import format_time
from tokensvc.core import user_ids
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Refusal
from tokensvc.core.findings import State
from tokensvc.issuers.verify import UnverifiedToken, parse
from tokensvc.ops.health import CheckResult, result_of
from tokensvc.tokens import inspection
from tokensvc.tokens.inspection import Inspection


class Explanation(NamedTuple):
    """
    An explanation of a token.

    Attributes:
        checks: Result of each check of the token.
        stream_token: What a Stream token contains; `None` if the token is for this service.
        not_stream: Reason why it is not a Stream token.
    """

    checks: Iterator[CheckResult]
    stream_token: Inspection | None = None
    not_stream: str = ""


def explain(services: Services, unverified_token: str) -> Explanation:
    """
    Explain a token.

    Args:
        unverified_token: Token of a provider, access token of this service, or Stream token.
    """
    try:
        parsed = inspection.parse(unverified_token)
    except ValueError as error:
        return Explanation(_check_credential(services, unverified_token), not_stream=str(error))
    user_id = parsed.user_id or ""
    is_legal = user_ids.is_legal(user_id, services.settings.user_ids.alphabet)
    standing = services.standings.read(user_id if is_legal else "")  # no database stores every text
    ring = services.stream.keys.ring_at(standing.ring_version)
    found = inspection.explain(parsed, ring, standing)
    return Explanation(_check_stream_token(found), found)


def _check_stream_token(found: Inspection) -> Iterator[CheckResult]:
    issued = "not given" if found.issued_at is None else format_time(found.issued_at)
    key = "none of this service"
    if found.api_key is not None:
        key = f"{found.api_key} ({found.key_state}, fingerprint {found.fingerprint})"
    parts = {
        "user": found.user_id or "none",
        "issued": issued,
        "expires": format_time(found.expires_at),
        "key": key,
    }
    for name, value in parts.items():
        faults = [fault.text for fault in found.faults if fault.part == name]
        state = State.FAILED if faults else State.OK
        yield CheckResult(name, state, "; ".join([value, *faults]))


def _check_credential(services: Services, unverified_token: str) -> Iterator[CheckResult]:
    own = _own_token(services.access_token_callers, unverified_token)
    if own is not None:
        yield from _check_access_token(*own)
        return
    services.issuers.load_stored_keys()
    services.issuers.refresh()
    for check, finding in services.issuers.explain(unverified_token).items():
        yield result_of(check, finding)


def _own_token(
    callers: AccessTokenCallers | None, text: str
) -> tuple[AccessTokenCallers, UnverifiedToken] | None:
    """Return a token that names this service as its issuer, and what verifies it."""
    try:
        token = parse(text)
    except Refusal:
        return None
    return (callers, token) if callers is not None and token.issuer == callers.issuer else None


def _check_access_token(
    callers: AccessTokenCallers, unverified: UnverifiedToken
) -> Iterator[CheckResult]:
    check = "access token"
    try:
        caller = callers.authenticate(unverified)
        yield CheckResult(check, State.OK, f"of this service, signed by key {unverified.kid}")
        if isinstance(caller, ServiceCaller):
            scopes = " ".join(sorted(caller.scopes))
            yield CheckResult("service", State.OK, f"{caller.client_id} with {scopes}")
        elif isinstance(caller, AccountCaller):
            check = "session"
            check_standing(caller, callers.read_standing(caller))
            yield CheckResult(check, State.OK, "live")
            yield CheckResult("user id", State.OK, caller.user_id)
    except Refusal as refusal:
        yield CheckResult(check, State.FAILED, refusal.operator_text)
