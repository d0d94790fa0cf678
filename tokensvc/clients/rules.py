"""The rights and lifetimes that one client may give to another, and the audited details. Pure."""

from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from tokensvc.audit.rules import Details
from tokensvc.core.actions import ActionContext
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.scopes import Scope

DEVELOPMENT_ACTOR = "service:development"
"""Name of `make run` in the audit trail. A client that it created is not for production."""

MAX_SECRETS = 2
"""Live secrets of a client: enough to rotate without a gap, too few to forget one."""


@dataclass(frozen=True, slots=True)
class Rights:
    """
    The rights of a client.

    Attributes:
        vouches: Whether its requests count as fresh sign-ins of the users that they name.
    """

    scopes: frozenset[str]
    vouches: bool

    def minus(self, other: "Rights") -> "Rights":
        """Return the rights that `other` does not have."""
        return Rights(self.scopes - other.scopes, self.vouches and not other.vouches)

    def __bool__(self) -> bool:
        """Return whether there are any rights."""
        return bool(self.scopes) or self.vouches

    def __str__(self) -> str:
        """Return the rights as a list in prose."""
        return ", ".join([*sorted(self.scopes), *(["vouching for users"] if self.vouches else [])])


@dataclass(frozen=True, slots=True)
class Administrator:
    """
    The service or operator that changes clients.

    Attributes:
        actor: Name in the audit trail.
        rights: Rights that it may grant; those of a service are as of its authentication. `None`:
            all, even those that only a newer release knows.
        reason: Reason that it gave.
        client_id: ID of a service; `None` for an operator.
        token_scopes: Scopes of its access token; `None` if it sent its secret.
        secret_id: Secret that the service authenticated with.
        expires_at: Time at which that secret expires, in epoch seconds; `None`: never.
    """

    actor: str
    rights: Rights | None
    reason: str | None = None
    client_id: str | None = None
    token_scopes: frozenset[str] | None = None
    secret_id: str | None = None
    expires_at: int | None = None


def operator(context: ActionContext) -> Administrator:
    """Return an operator, who has the database and may grant everything."""
    return Administrator(context.actor, None, context.reason)


def service(caller: ServiceCaller, reason: str | None = None) -> Administrator:
    """Return a service that changes clients over HTTP, which may grant the rights it has."""
    return Administrator(
        caller.client_id,
        Rights(caller.scopes, caller.vouches),
        reason,
        client_id=caller.client_id,
        token_scopes=caller.token_scopes,
        secret_id=caller.secret_id,
    )


def check_may_manage_clients(rights: Rights) -> None:
    """
    Refuse a service that may not change clients.

    Raises:
        Refusal: `insufficient_scope`.
    """
    if Scope.CLIENTS_WRITE not in rights.scopes:
        raise Refusal(
            Code.INSUFFICIENT_SCOPE,
            f"This is for a service client that has the scope {Scope.CLIENTS_WRITE}.",
            reason=f"the scope {Scope.CLIENTS_WRITE} was withdrawn",
        )


MINTING_CONFLICT = (
    "Anyone can sign up with any free user ID, also with one for which a client with the scope "
    "tokens:mint mints: two people would be one user. Set `accounts.user_id_prefix`; or set "
    "`accounts.sign_up` to `invitation` or `closed`; or grant no client tokens:mint."
)
"""Why open sign-up without a prefix and a client that mints exclude each other."""


def check_holds(rights: Rights, administrator: Administrator) -> None:
    """
    Refuse a change that involves rights which the administrator does not have.

    Otherwise one scope would imply all others: its holder could grant them, learn the secret of a
    client that has them, or take that client's place.

    Args:
        rights: Rights to grant, or all rights of the client that is changed.
        administrator: Service or operator that requests the change.

    Raises:
        Refusal: `insufficient_scope`.
    """
    missing = rights.minus(administrator.rights) if administrator.rights is not None else None
    if missing:
        raise Refusal(
            Code.INSUFFICIENT_SCOPE,
            "A client can grant only rights it has, and change only clients whose rights it has; "
            f"missing: {missing}.",
            reason=f"missing: {missing}",
        )


def expiry_of_new_secret(
    wanted: int | UnsetType | None, administrator: Administrator
) -> int | None:
    """
    Return when a new secret expires: not after the secret of the administrator.

    Args:
        wanted: Epoch seconds; `None`: never; `UNSET`: as late as possible.

    Returns:
        Epoch seconds, or `None` for never.

    Raises:
        Refusal: `malformed_request` for a later time.
    """
    latest = administrator.expires_at
    if wanted is UNSET:
        return latest
    if latest is not None and (wanted is None or wanted > latest):
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"The secret would outlive the one you use: `expires_at` is at most {latest}.",
            reason="the secret would outlive the caller's",
        )
    return wanted


def rights_details(rights: Rights) -> Details:
    """Return the rights of a client for the details of an event."""
    return {"scopes": sorted(rights.scopes), "vouches": rights.vouches}


def change_details(before: Rights, after: Rights) -> Details:
    """Return changed rights for the details of an event: those from now on, and the difference."""
    changes: Details = {
        "granted": sorted(after.scopes - before.scopes),
        "withdrawn": sorted(before.scopes - after.scopes),
        "vouches_changed": before.vouches is not after.vouches,
    }
    return rights_details(after) | {name: value for name, value in changes.items() if value}


def secret_details(secret_id: str, expires_at: int | None) -> Details:
    """Return a new secret for the details of an event."""
    expiry: Details = {} if expires_at is None else {"expires_at": expires_at}
    return {"secret": secret_id, **expiry}
