"""`tokensvc clients`: the app's own backends and their secrets."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from tokensvc.cli.output import at, json_option, write_facts, write_json, write_table
from tokensvc.cli.session import opened_services, read_secret
from tokensvc.clients.scopes import SCOPES
from tokensvc.clients.service import Clients, CreatedClient


@click.group("clients")
def clients() -> None:
    """Make, list, rotate and delete service clients."""


@clients.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(sorted(SCOPES)),
    help="What the client may do. Repeat it for several.",
)
@click.option("--vouches", is_flag=True, help="Its word is a fresh sign-in of any user it names.")
@click.option("--secret-stdin", is_flag=True, help="Take the secret from standard input.")
@click.option("--if-absent", is_flag=True, help="Succeed if the client is there already.")
@json_option
def create(
    name: str,
    scopes: tuple[str, ...],
    *,
    vouches: bool,
    secret_stdin: bool,
    if_absent: bool,
    as_json: bool,
) -> None:
    """
    Make a client NAME and print its secret, this once.

    The secret cannot be shown again: the database holds its hash.
    """
    given = read_secret("secret") if secret_stdin else None
    with _clients() as service:
        created = service.create(name, scopes, vouches=vouches, secret=given, if_absent=if_absent)
    shown = created.secret.secret if created.secret and given is None else None
    if as_json:
        write_json(
            {
                "id": created.id,
                "name": created.name,
                "scopes": sorted(created.scopes),
                "vouches": created.vouches,
                "secret": shown,
                "created": created.secret is not None,
            }
        )
    else:
        _tell_created(created, shown)


@clients.command("list")
@json_option
def list_clients(*, as_json: bool) -> None:
    """List clients and their secrets' ids, oldest first."""
    with _clients() as service:
        found = service.list()
    if as_json:
        write_json(
            [
                {
                    "id": client.id,
                    "name": client.name,
                    "scopes": sorted(client.scopes),
                    "vouches": client.vouches,
                    "created_at": client.created_at,
                    "secrets": [
                        {
                            "id": secret.id,
                            "created_at": secret.created_at,
                            "expires_at": secret.expires_at,
                        }
                        for secret in client.secrets
                    ],
                }
                for client in found
            ]
        )
    elif found:
        write_table(
            ("ID", "NAME", "SCOPES", "VOUCHES", "SECRET", "MADE", "EXPIRES"),
            [
                (
                    client.id,
                    client.name,
                    " ".join(sorted(client.scopes)),
                    "yes" if client.vouches else "no",
                    secret.id,
                    at(secret.created_at),
                    at(secret.expires_at),
                )
                for client in found
                for secret in client.secrets
            ],
        )
    else:
        click.echo("No client yet: tokensvc clients create NAME --scope tokens:mint")


@clients.command("rotate")
@click.argument("client_id")
@click.option("--secret-stdin", is_flag=True, help="Take the secret from standard input.")
@json_option
def rotate(client_id: str, *, secret_stdin: bool, as_json: bool) -> None:
    """
    Give CLIENT_ID a second secret and print it, this once.

    Both work until the older one is deleted: put the new one into the backend first, then run
    `tokensvc clients delete CLIENT_ID --secret SECRET_ID`.
    """
    given = read_secret("secret") if secret_stdin else None
    with _clients() as service:
        created = service.add_secret(client_id, secret=given)
    shown = None if given else created.secret
    if as_json:
        write_json({"id": created.id, "secret": shown, "expires_at": created.expires_at})
        return
    click.echo(f"{client_id} has one more secret; the older one works until you delete it:")
    write_facts([("id", created.id), *([("secret", shown)] if shown else [])])


@clients.command("delete")
@click.argument("client_id")
@click.option("--secret", "secret_id", metavar="SECRET_ID", help="Delete only this secret.")
@json_option
def delete(client_id: str, secret_id: str | None, *, as_json: bool) -> None:
    """Delete CLIENT_ID, or one secret of it. It ends at once, on every instance."""
    with _clients() as service:
        if secret_id is None:
            service.delete(client_id)
        else:
            service.delete_secret(client_id, secret_id)
    if as_json:
        write_json({"deleted": secret_id or client_id})
    else:
        click.echo(f"Deleted {secret_id or client_id}.")


@contextmanager
def _clients() -> Iterator[Clients]:
    """Give the clients; what they refuse to do is told to the operator."""
    with opened_services() as services:
        try:
            yield services.clients
        except ValueError as error:
            raise click.ClickException(str(error)) from error


def _tell_created(created: CreatedClient, shown: str | None) -> None:
    if created.secret is None:
        click.echo(f"{created.id} is there already; nothing was changed.")
        return
    click.echo("Made a client:" if shown is None else "Made a client; its secret is shown once:")
    write_facts(
        [
            ("id", created.id),
            *([("secret", shown)] if shown else []),
            ("scopes", " ".join(sorted(created.scopes))),
            ("vouches", "yes" if created.vouches else "no"),
        ]
    )
