"""`tokensvc clients`: the app's own backends and their secrets."""

from collections.abc import Callable, Iterator
from typing import Any

import click
import msgspec

from tokensvc.cli.actions import reason_option
from tokensvc.cli.printer import (
    Result,
    cells,
    members,
    names_below,
    print_note,
    prints_result,
    quoted,
    table,
)
from tokensvc.cli.session import opened_services, read_secret
from tokensvc.clients.rules import Rights, operator
from tokensvc.clients.state import ClientSecret, NewServiceClient, ServiceClient
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import system_clock
from tokensvc.core.scopes import SCOPES

_RIGHTS = ("id", "scopes", "vouches")
_SCOPES_BELOW = names_below("Scopes", sorted(SCOPES))
_LONGEST = 100 * 365 * 86_400
"""Maximum seconds until a secret expires."""


@click.group("clients")
def clients() -> None:
    """Create, list, update, rotate and delete service clients."""


def _scopes_option(
    name: str, argument: str, meaning: str, *, required: bool = False
) -> Callable[..., Any]:
    return click.option(
        name,
        argument,
        multiple=True,
        required=required,
        metavar="SCOPE",
        type=click.Choice(sorted(SCOPES)),
        help=f"{meaning}, one of those below. Repeat the option for several.",
    )


@clients.command("create", epilog=_SCOPES_BELOW)
@click.argument("name")
@_scopes_option("--scope", "scopes", "Scope of the client", required=True)
@click.option(
    "--vouches",
    is_flag=True,
    help="Treat its requests as fresh sign-ins of the users that they name.",
)
@click.option("--secret-stdin", is_flag=True, help="Read the secret from standard input.")
@click.option("--if-absent", is_flag=True, help="Succeed if the client already exists.")
@reason_option
@prints_result
def create(
    name: str,
    scopes: tuple[str, ...],
    *,
    vouches: bool,
    secret_stdin: bool,
    if_absent: bool,
    context: ActionContext,
) -> Result:
    """
    Create a client NAME and print its secret.

    The secret cannot be shown again: the database contains only its hash.
    """
    given = read_secret("secret") if secret_stdin else None
    rights = Rights(frozenset(scopes), vouches)
    with opened_services() as services:
        administration = services.client_administration
        create_client = administration.create_if_absent if if_absent else administration.create
        client = create_client(name, rights, administrator=operator(context), secret=given)
    created = isinstance(client, NewServiceClient)
    secret = client.secret if isinstance(client, NewServiceClient) and not given else None
    change = " ".join(_options_of_update(client.rights, rights))
    if change:
        print_note(
            f"{client.id} has other rights. To change them: "
            f"tokensvc clients update {client.id} {change}"
        )
    if secret is not None:
        head = "Created a client; its secret is shown once:"
        lines = [head, *members(client, (*_RIGHTS, "secret"))]
    elif created:
        lines = ["Created a client:", *members(client, _RIGHTS)]
    else:
        lines = [f"{client.id} already exists; nothing was changed."]
    value = msgspec.to_builtins(client) | {"secret": secret, "created": created}
    return Result(value, lines)


@clients.command("list")
@prints_result
def list_clients() -> Result:
    """List clients and the IDs of their secrets."""
    with opened_services(with_keys=False) as services:
        found = services.clients.page()
    lines = table(
        ("ID", "NAME", "SCOPES", "VOUCHES", "SECRET", "CREATED", "EXPIRES", "LAST USED"),
        [row for client in found for row in _rows(client)],
        if_empty="No client yet: tokensvc clients create NAME --scope tokens:mint",
    )
    return Result(found, lines)


@clients.command(
    "update",
    short_help="Change the scopes of a client, and whether its requests are sign-ins.",
    epilog=_SCOPES_BELOW,
)
@click.argument("client_id")
@_scopes_option("--add-scope", "added", "Scope to add")
@_scopes_option("--remove-scope", "removed", "Scope to remove")
@click.option(
    "--vouches/--no-vouches",
    default=None,
    help="Whether its requests count as fresh sign-ins of the users that they name.",
)
@reason_option
@prints_result
def update(
    client_id: str,
    *,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    vouches: bool | None,
    context: ActionContext,
) -> Result:
    """Change the rights of CLIENT_ID, with immediate effect on every instance."""
    if not added and not removed and vouches is None:
        raise click.UsageError("Use --add-scope, --remove-scope, --vouches or --no-vouches.")
    both = sorted({*added} & {*removed})
    if both:
        raise click.UsageError(f"Add or remove, not both: {', '.join(both)}.")
    # Works even if the service cannot start, so that a right can be withdrawn.
    with opened_services(with_keys=False) as services:
        client = services.client_administration.change(
            client_id,
            add=added,
            remove=removed,
            vouches=vouches,
            administrator=operator(context),
        )
    return Result(client, ["The client has these rights now:", *members(client, _RIGHTS)])


@clients.command("rotate")
@click.argument("client_id")
@click.option("--secret-stdin", is_flag=True, help="Read the secret from standard input.")
@click.option(
    "--expires-in",
    metavar="SECONDS",
    type=click.IntRange(min=1, max=_LONGEST),
    help="Seconds until the secret expires. Default: it does not expire.",
)
@reason_option
@prints_result
def rotate(
    client_id: str,
    *,
    secret_stdin: bool,
    expires_in: int | None,
    context: ActionContext,
) -> Result:
    """
    Add a second secret to CLIENT_ID and print it.

    Both work until the older one is deleted: configure the backend with the new one, then run
    `tokensvc clients delete CLIENT_ID --secret SECRET_ID`.
    """
    given = read_secret("secret") if secret_stdin else None
    expires_at = None if expires_in is None else int(system_clock()) + expires_in
    with opened_services() as services:
        created = services.client_administration.add_secret(
            client_id, expires_at, secret=given, administrator=operator(context)
        )
    shown = None if given else created.secret
    names = ("id", *([] if given else ["secret"]), "expires_at")
    head = f"Added a secret to {client_id}; the older one works until you delete it:"
    return Result(
        {"id": created.id, "secret": shown, "expires_at": expires_at},
        [head, *members(created, names)],
    )


@clients.command("delete", short_help="Delete a client or one of its secrets, immediately.")
@click.argument("client_id")
@click.option("--secret", "secret_id", metavar="SECRET_ID", help="Delete only this secret.")
@reason_option
@prints_result
def delete(client_id: str, secret_id: str | None, *, context: ActionContext) -> Result:
    """Delete CLIENT_ID or one of its secrets, with immediate effect on every instance."""
    # Works even if the service cannot start, so that a leaked secret can be deleted.
    with opened_services(with_keys=False) as services:
        administration, administrator = services.client_administration, operator(context)
        if secret_id is None:
            administration.delete(client_id, administrator=administrator)
        else:
            administration.delete_secret(client_id, secret_id, administrator=administrator)
    deleted = secret_id or client_id
    return Result({"deleted": deleted}, [f"Deleted {deleted}."])


def _rows(client: ServiceClient) -> list[list[str]]:
    """Return a row for each secret, and one for a client without secrets."""
    head = [client.id, quoted(client.name), *cells(client, ("scopes", "vouches"))]
    none = ClientSecret("none", client.created_at, None, None)
    names = ("id", "created_at", "expires_at", "last_used_at")
    return [[*head, *cells(secret, names)] for secret in client.secrets or [none]]


def _options_of_update(before: Rights, after: Rights) -> Iterator[str]:
    """Yield the options of `clients update` that change the rights."""
    for scope in sorted(after.scopes - before.scopes):
        yield f"--add-scope {scope}"
    for scope in sorted(before.scopes - after.scopes):
        yield f"--remove-scope {scope}"
    if before.vouches is not after.vouches:
        yield "--vouches" if after.vouches else "--no-vouches"
