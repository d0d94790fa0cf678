"""`/v1/clients…`: parse, call, render. Only the response that creates a secret contains it."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from flask import Blueprint
from msgspec import UNSET, UnsetType

from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.credentials import MAX_NAME
from tokensvc.clients.rules import Rights, service
from tokensvc.clients.service import Clients
from tokensvc.core.callers import Authorize
from tokensvc.core.scopes import Scope
from tokensvc.http.body import NoParameters, parse_body, parse_query
from tokensvc.http.parameters import ActionRequest, DeleteQuery, PageQuery, page_of
from tokensvc.http.respond import Response, json_response

PATH = "/v1/clients"

_LATEST = 253_402_300_799
"""The last second of the year 9999, in epoch seconds: a limit that every calendar supports."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Scopes = Annotated[list[Scope], msgspec.Meta(min_length=1)]
Expiry = Annotated[int, msgspec.Meta(ge=0, le=_LATEST)]


class CreateClientRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A new service client.

    Attributes:
        name: Unique, printable name for people.
        scopes: All scopes of the client.
        vouches: Whether the client confirms sign-ins itself. If not, it must send `auth_time` for
            users who were revoked.
    """

    name: Name
    scopes: Scopes
    vouches: bool = False


class ChangeClientRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Change of a service client. Absent members stay unchanged.

    Attributes:
        scopes: All scopes of the client from now on.
        vouches: Whether the client confirms sign-ins itself.
    """

    scopes: Scopes | UnsetType = UNSET
    vouches: bool | UnsetType = UNSET


class AddClientSecretRequest(ActionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A new client secret.

    Attributes:
        expires_at: Time from which the secret is refused, in epoch seconds and in the future, or
            `null` for never. It must not be later than the expiry of the secret that the caller
            uses, which is the default.
    """

    expires_at: Expiry | UnsetType | None = UNSET


def routes(
    clients: Clients, administration: ClientAdministration, authorize: Authorize
) -> Sequence[Blueprint]:
    """
    Return the routes of service clients.

    Args:
        authorize: Function that returns the calling service if it has the scope.
    """
    return [
        _read_routes(clients, authorize),
        _client_routes(administration, authorize),
        _secret_routes(administration, authorize),
    ]


def _read_routes(clients: Clients, authorize: Authorize) -> Blueprint:
    blueprint = Blueprint("clients", __name__, url_prefix=PATH)

    @blueprint.get("")
    def get_clients() -> Response:
        query = parse_query(PageQuery)
        authorize(Scope.CLIENTS_WRITE)
        found = clients.page(after=query.after, limit=query.limit + 1)
        return json_response(page_of(found, query.limit, lambda client: client.id))

    @blueprint.get("/<client_id>")
    def get_client(client_id: str) -> Response:
        parse_query(NoParameters)
        authorize(Scope.CLIENTS_WRITE)
        return json_response(clients.one(client_id))

    return blueprint


def _client_routes(administration: ClientAdministration, authorize: Authorize) -> Blueprint:
    blueprint = Blueprint("client_actions", __name__, url_prefix=PATH)

    @blueprint.post("")
    def create_client() -> Response:
        body = parse_body(CreateClientRequest)
        administrator = service(authorize(Scope.CLIENTS_WRITE), body.reason)
        rights = Rights(frozenset(body.scopes), body.vouches)
        created = administration.create(body.name, rights, administrator=administrator)
        return json_response(created, 201, [("Location", f"{PATH}/{created.id}")])

    @blueprint.patch("/<client_id>")
    def change_client(client_id: str) -> Response:
        body = parse_body(ChangeClientRequest)
        changed = administration.change(
            client_id,
            scopes=None if body.scopes is UNSET else body.scopes,
            vouches=None if body.vouches is UNSET else body.vouches,
            administrator=service(authorize(Scope.CLIENTS_WRITE), body.reason),
        )
        return json_response(changed)

    @blueprint.delete("/<client_id>")
    def delete_client(client_id: str) -> Response:
        query = parse_query(DeleteQuery)
        administration.delete(
            client_id, administrator=service(authorize(Scope.CLIENTS_WRITE), query.reason)
        )
        return Response(204)

    return blueprint


def _secret_routes(administration: ClientAdministration, authorize: Authorize) -> Blueprint:
    blueprint = Blueprint("client_secrets", __name__, url_prefix=PATH)

    @blueprint.post("/<client_id>/secrets")
    def add_secret(client_id: str) -> Response:
        body = parse_body(AddClientSecretRequest)
        administrator = service(authorize(Scope.CLIENTS_WRITE), body.reason)
        created = administration.add_secret(client_id, body.expires_at, administrator=administrator)
        # The location is the client, which lists its secrets: a secret has no route of its own.
        return json_response(created, 201, [("Location", f"{PATH}/{client_id}")])

    @blueprint.delete("/<client_id>/secrets/<secret_id>")
    def delete_secret(client_id: str, secret_id: str) -> Response:
        query = parse_query(DeleteQuery)
        administrator = service(authorize(Scope.CLIENTS_WRITE), query.reason)
        administration.delete_secret(client_id, secret_id, administrator=administrator)
        return Response(204)

    return blueprint
