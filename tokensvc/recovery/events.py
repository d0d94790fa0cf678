"""
The events that a replay applies: one record for each kind, decoded from a line of an export.

A record has the facts that its function in `replay.py` needs. They are in the `details` of the
event. Before events had details, those of clients were in `reason`, in front of the actor's words.
Unknown facts are ignored: a later release may have added them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from types import MappingProxyType
from typing import Annotated, Final, TypeVar

import msgspec

from tokensvc.audit.rules import AuditEvent
from tokensvc.core.actions import APP, Target
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Transaction

Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]
"""Text that every database can store."""
Time = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
"""Epoch seconds."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event that needs no facts, and the common members of the others."""

    id: str
    time: Time
    actor: Text
    action: Text
    subject: Text

    @property
    def target(self) -> Target:
        """User or app that a revocation or its undo applies to."""
        return APP if self.action.startswith("app:") else Target(self.subject)


class Revoked(Event, frozen=True, kw_only=True):
    """
    A revocation, or an action that contains one. An event without details has neither fact.

    Attributes:
        revocation: ID of the revocation.
        tokens_valid_after: Cut-off that it set.
    """

    revocation: Text | None = None
    tokens_valid_after: Time | None = None


class Renewed(Event, frozen=True, kw_only=True):
    """
    A renewal.

    Attributes:
        latest_renewal: Bound that it set.
    """

    latest_renewal: Time | None = None


class RevocationUndone(Event, frozen=True, kw_only=True):
    """
    The undo of a revocation.

    Attributes:
        revocation: ID of the revocation; `None` in an event without details.
    """

    revocation: Text | None = None


class ProviderSessionEnded(Event, frozen=True, kw_only=True):
    """
    A session that an identity provider ended.

    Attributes:
        provider_session: Key of the session.
        refused_until: Time after which each of its tokens has expired.
    """

    provider_session: Text
    refused_until: Time


class FloorLowered(Event, frozen=True, kw_only=True):
    """
    Lowered cut-offs, which a wrong clock had set in the future.

    Attributes:
        floor: New maximum; `None` in an event without details.
    """

    floor: Time | None = None


class ClientChanged(Event, frozen=True, kw_only=True):
    """
    Changed rights of a client.

    Attributes:
        scopes: All scopes after the change; `None` in an event without details.
        withdrawn: Scopes that the client lost.
        vouches: Whether the client could vouch after the change.
    """

    scopes: frozenset[str] | None = None
    withdrawn: frozenset[str] = frozenset()
    vouches: bool = False


class ClientSecretDeleted(Event, frozen=True, kw_only=True):
    """
    A deleted secret of a client.

    Attributes:
        secret: ID of the secret; `None` if the event does not name it.
    """

    secret: str | None = None


class DatabaseRestored(Event, frozen=True, kw_only=True):
    """
    A restore from a backup.

    Attributes:
        secrets_disabled: Whether it disabled the secrets of all clients.
        backup_event: Last event that the backup had; `None` if it had none.
    """

    secrets_disabled: bool = False
    backup_event: str | None = None


EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class Replay:
    """
    What the functions that apply events share.

    Attributes:
        clock: Clock that dates what is done now.
        erase_rows: Function that deletes the rows of an erased user, at a time in epoch seconds.
        reinstated: Users whose suspension has ended.
        banned: Users who were suspended, erased or deleted, and not reinstated since.
    """

    tx: Transaction
    clock: Clock
    erase_rows: Callable[[Transaction, str, float], object]
    reinstated: set[str] = field(default_factory=set)
    banned: set[str] = field(default_factory=set)


def decode(event: AuditEvent, record: type[EventT]) -> EventT:
    """
    Return the record of an event.

    Raises:
        ValidationError: A fact has another type than the record says.
    """
    facts: Mapping[str, object] | None = event.details
    if facts is None:
        facts = _IN_REASON[record](event.reason or "") if record in _IN_REASON else {}
    members = dict(facts)
    # Last: no fact can replace a member of the event.
    members |= {name: getattr(event, name) for name in Event.__struct_fields__}
    return msgspec.convert(members, record)


def _client_change(reason: str) -> Mapping[str, object]:
    """Return the facts of a reason like `scopes: +keys:write -users:read; vouches: no`."""
    facts = _facts_of_client(reason)
    changes = facts.get("scopes", "").split()
    withdrawn = [change[1:] for change in changes if change.startswith("-")]
    # Without the fact, the change left it as it was.
    return {"withdrawn": withdrawn, "vouches": facts.get("vouches") != "no"}


def _deleted_secret(reason: str) -> Mapping[str, object]:
    """Return the fact of a reason like `secret: sec_1; reason: leaked`."""
    return {"secret": _facts_of_client(reason).get("secret")}


def _facts_of_client(reason: str) -> dict[str, str]:
    """Return the facts of a reason, which end where the actor's words begin."""
    parts = (part.partition(": ") for part in reason.split("; "))
    return {name: fact for name, _, fact in takewhile(lambda part: part[0] != "reason", parts)}


_IN_REASON: Final[Mapping[type[Event], Callable[[str], Mapping[str, object]]]] = MappingProxyType(
    {ClientChanged: _client_change, ClientSecretDeleted: _deleted_secret}
)
"""Facts in the reason of an event without details. All other kinds had none."""
