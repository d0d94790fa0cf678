"""`tokensvc token`: mint or inspect a Stream user token."""

import click
import msgspec

from tokensvc.audit.rules import Action
from tokensvc.cli.actions import operator
from tokensvc.cli.explain import explain
from tokensvc.cli.printer import (
    Result,
    check_line,
    format_time,
    print_note,
    prints_result,
)
from tokensvc.cli.session import STDIN, given_or_stdin, opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.scopes import Scope
from tokensvc.tokens.rules import TokenRequest
from tokensvc.tokens.settings import MIN_TTL

_OPERATOR = ServiceCaller(client_id="operator", scopes=frozenset({Scope.TOKENS_MINT}), vouches=True)
"""Anyone who can read the settings could sign any token, so their word counts as a sign-in."""


@click.group("token")
def token() -> None:
    """Mint or inspect a Stream user token."""


@token.command("mint")
@click.argument("user_id")
@click.option(
    "--ttl", type=click.IntRange(min=MIN_TTL), help="Lifetime in seconds, at most `token.ttl`."
)
@click.option("--api-key", help="API key that the Stream client was built with.")
@prints_result
def mint(user_id: str, ttl: int | None, api_key: str | None) -> Result:
    """
    Mint a token for USER_ID, by the rules of POST /v1/token.

    Only the token goes to standard output. A suspended user gets none. The audit trail records the
    mint.
    """
    with opened_services() as services:
        minted = services.tokens.mint_for(
            _OPERATOR, TokenRequest(user_id=user_id, ttl=ttl, api_key=api_key)
        )
        # Record before the token is shown: no one may act as a user without a record.
        services.audit.record(ActionContext(operator()), Action.TOKEN_MINTED, minted.user_id)
    if ttl is not None and minted.expires_in < ttl:
        print_note(
            f"Warning: --ttl {ttl} exceeds `token.ttl`; the token is valid for "
            f"{minted.expires_in} s."
        )
    meaning = (
        f"for {minted.user_id}, with the Stream key {minted.api_key}, "
        f"until {format_time(minted.expires_at)}"
    )
    return Result(minted, [minted.token], [meaning])


@token.command("inspect", short_help="Show the user and validity of a Stream token.")
@click.argument("unverified_token", metavar="[TOKEN]", default=STDIN)
@prints_result
def inspect(unverified_token: str) -> Result:
    """
    Show the user, times and key of a Stream token, and why it would be refused.

    Without TOKEN, or with "-", the token is read from standard input: an argument is visible in the
    process list. Exit with status 1 if the token would be refused.
    """
    text = given_or_stdin(unverified_token)
    with opened_services() as services:
        found = explain(services, text)
    if found.stream_token is None:
        raise click.ClickException(found.not_stream)
    faults = [fault.text for fault in found.stream_token.faults]
    lines = [check_line(check) for check in found.checks]
    if not faults:
        lines.append("Stream accepts it, as far as this service knows.")
    value = msgspec.to_builtins(found.stream_token) | {"faults": faults}
    return Result(value, lines, failed=bool(faults))
