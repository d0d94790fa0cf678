"""`tokensvc token`: mint or inspect a Stream user token."""

from dataclasses import asdict

import click
import msgspec

from tokensvc.audit.rules import Action
from tokensvc.cli.actions import operator
from tokensvc.cli.output import format_time, json_option, printable, write_facts, write_json
from tokensvc.cli.session import STDIN, given_or_stdin, opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.scopes import Scope
from tokensvc.tokens import inspection
from tokensvc.tokens.inspection import Inspection
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
@click.option("--api-key", help="Stream key that the client was built with.")
@json_option
def mint(user_id: str, ttl: int | None, api_key: str | None, *, as_json: bool) -> None:
    """
    Mint a token for USER_ID, by the rules of POST /v1/token.

    Only the token goes to standard output. A suspended user gets none. The audit trail records it.
    """
    with opened_services() as services:
        minted = services.tokens.mint_for(
            _OPERATOR, TokenRequest(user_id=user_id, ttl=ttl, api_key=api_key)
        )
        # Record before the token is shown: no one may act as a user without a record.
        services.audit.record(ActionContext(operator()), Action.TOKEN_MINTED, minted.user_id)
    if ttl is not None and minted.expires_in < ttl:
        click.echo(
            f"Warning: --ttl {ttl} exceeds `token.ttl`; the token is valid for "
            f"{minted.expires_in} s.",
            err=True,
        )
    if as_json:
        write_json(msgspec.to_builtins(minted))
        return
    click.echo(minted.token)
    click.echo(
        f"for {minted.user_id}, with the Stream key {minted.api_key}, "
        f"until {format_time(minted.expires_at)}",
        err=True,
    )


@token.command("inspect", short_help="Show the user and validity of a Stream token.")
@click.argument("unverified_token", metavar="[TOKEN]", default=STDIN)
@json_option
def inspect(unverified_token: str, *, as_json: bool) -> None:
    """
    Show the user, times and key of a Stream token, and why it would be refused.

    Without TOKEN, or with "-", the token is read from standard input: an argument is visible in the
    process list. Exit with status 1 if the token would be refused.
    """
    try:
        parsed = inspection.parse(given_or_stdin(unverified_token, "token"))
    except ValueError as error:
        raise click.ClickException(printable(f"{error}.")) from error
    with opened_services() as services:
        standing = services.standings.read(parsed.user_id or "")
        found = inspection.explain(
            parsed, services.stream.keys.ring_at(standing.ring_version), standing
        )
    if as_json:
        write_json(asdict(found))
    else:
        _print_inspection(found)
    if found.faults:
        raise SystemExit(1)


def _print_inspection(found: Inspection) -> None:
    key = "none of this service"
    if found.api_key is not None:
        key = f"{found.api_key} ({found.key_state}, fingerprint {found.fingerprint})"
    write_facts(
        [
            ("user", printable(found.user_id) if found.user_id else "none"),
            (
                "issued",
                format_time(found.issued_at) if found.issued_at is not None else "not given",
            ),
            ("expires", format_time(found.expires_at)),
            ("key", key),
        ]
    )
    for fault in found.faults:
        click.echo(f"Refused: {fault}.")
    if not found.faults:
        click.echo("Stream accepts it, as far as this service knows.")
