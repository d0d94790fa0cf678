"""Explain to an operator why the service accepts or refuses a bearer credential."""

from collections.abc import Iterator

from tokensvc.app.services import Services
from tokensvc.callers.access_tokens import AccessTokenCallers, AccountCaller
from tokensvc.callers.rules import check_standing
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Refusal
from tokensvc.core.findings import State
from tokensvc.issuers.verify import UnverifiedToken, parse
from tokensvc.ops.health import CheckResult
from tokensvc.tokens import inspection

_NOT_A_CREDENTIAL = (
    "This is a Stream token, which clients send to Stream. It is not accepted as a credential "
    "here: send a token of the identity provider, or an access token of this service. "
    "`tokensvc token inspect` explains it."
)


def check_credential(services: Services, unverified_token: str) -> Iterator[CheckResult]:
    """
    Yield the result of each check of a token.

    Args:
        unverified_token: Token of a provider, access token of this service, or Stream token.
    """
    if _is_stream_token(unverified_token):
        yield CheckResult("form", State.FAILED, _NOT_A_CREDENTIAL)
        return
    own = _own_token(services.access_token_callers, unverified_token)
    if own is not None:
        yield from _check_access_token(*own)
        return
    services.issuers.load_stored_keys()
    services.issuers.refresh()
    for check, finding in services.issuers.explain(unverified_token).items():
        yield CheckResult(check, *finding)


def _is_stream_token(text: str) -> bool:
    try:
        return inspection.parse(text).user_id is not None
    except ValueError:
        return False


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
