"""What one client may make of another, and what the audit trail says of it. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tokensvc.clients.scopes import SCOPES, Scope
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Code, Refusal

MAX_SECRETS = 2
"""At once, so that a client rotates without a gap and nothing is forgotten about."""


@dataclass(frozen=True, slots=True)
class Rights:
    """
    What a client may do.

    Attributes:
        vouches: Whether its word is a fresh sign-in of any user that it names.
    """

    scopes: frozenset[str]
    vouches: bool

    def minus(self, other: "Rights") -> "Rights":
        """Give what another lacks of these."""
        return Rights(self.scopes - other.scopes, self.vouches and not other.vouches)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.scopes) or self.vouches

    def __str__(self) -> str:
        """Write them for people."""
        return ", ".join([*sorted(self.scopes), *(["vouching for users"] if self.vouches else [])])


@dataclass(frozen=True, slots=True)
class Grantor:
    """
    Who changes clients.

    Attributes:
        actor: As the audit trail names them.
        rights: What they may hand on; a service's as they were when it authenticated.
        reason: In their words.
        client_id: Of a service; `None` for an operator.
        secret_id: Which of its secrets the service has shown.
    """

    actor: str
    rights: Rights
    reason: str | None = None
    client_id: str | None = None
    secret_id: str | None = None


def operator(actor: str, reason: str | None = None) -> Grantor:
    """Give whoever has the database: they may grant everything."""
    return Grantor(actor, Rights(SCOPES, vouches=True), reason)


def service(caller: ServiceCaller, reason: str | None = None) -> Grantor:
    """Give a service that changes clients over HTTP: it may hand on what it holds itself."""
    return Grantor(
        caller.client_id,
        Rights(caller.scopes, caller.vouches),
        reason,
        client_id=caller.client_id,
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
        )


def check_grant(rights: Rights, grantor: Grantor) -> None:
    """
    Refuse to hand on what the grantor does not hold: one scope would be as good as all others.

    Args:
        rights: What would be granted, or what a new secret would be good for.
        grantor: Who would hand it on.

    Raises:
        Refusal: `insufficient_scope`.
    """
    lacking = rights.minus(grantor.rights)
    if lacking:
        raise Refusal(
            Code.INSUFFICIENT_SCOPE,
            f"A client hands on only what it holds itself, and this one lacks: {lacking}.",
        )


def describe_rights(rights: Rights) -> Iterator[str]:
    """Say for the audit trail what a new client may do."""
    yield f"scopes: {' '.join(sorted(rights.scopes))}"
    yield _vouches(rights)


def describe_change(before: Rights, after: Rights) -> Iterator[str]:
    """Say what is otherwise from now on: `scopes: +keys:write -users:read`."""
    granted = [f"+{scope}" for scope in sorted(after.scopes - before.scopes)]
    withdrawn = [f"-{scope}" for scope in sorted(before.scopes - after.scopes)]
    if granted or withdrawn:
        yield f"scopes: {' '.join(granted + withdrawn)}"
    if before.vouches is not after.vouches:
        yield _vouches(after)


def audit_reason(facts: Iterable[str], reason: str | None) -> str | None:
    """
    Join what is said of an act.

    Args:
        facts: In words of ours.
        reason: In the actor's words: last, so that it can be taken for nothing else.
    """
    said = [*facts, *([f"reason: {reason}"] if reason is not None else [])]
    return "; ".join(said) or None


def _vouches(rights: Rights) -> str:
    return f"vouches: {'yes' if rights.vouches else 'no'}"
