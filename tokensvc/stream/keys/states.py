"""The states of a key, and the rules that apply to the keys of both rings. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from tokensvc.core.errors import Code, Refusal


class KeyState(StrEnum):
    """
    State of a key.

    The `active` key of a ring signs. Stream keys that are `standby` or `retiring` also sign, for
    clients that name them; signing keys in these states are only published, for verification. A
    `retired` key is used for nothing, and its secret is erased: this state is final.
    """

    STANDBY = "standby"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


class KeyInfo(msgspec.Struct, frozen=True):
    """
    A key without its secret.

    Attributes:
        id: ID of the key.
        state: State of the key.
        fingerprint: Fingerprint of the secret.
        created_at: Time at which the key was added, in epoch seconds.
        activated_at: Time of the latest activation, in epoch seconds.
        retired_at: Time at which the secret was erased, in epoch seconds.
    """

    id: str
    state: KeyState
    fingerprint: str
    created_at: int
    activated_at: int | None
    retired_at: int | None

    @property
    def is_retired(self) -> bool:
        """Whether its secret is erased."""
        return self.state is KeyState.RETIRED


InfoT = TypeVar("InfoT", bound=KeyInfo)


@dataclass(frozen=True, slots=True)
class Transition(Generic[InfoT]):
    """The change of a key to another state."""

    key: InfoT
    to: KeyState


def find(keys: Iterable[InfoT], key_id: str) -> InfoT:
    """
    Return the key with an ID.

    Raises:
        Refusal: `not_found`.
    """
    for key in keys:
        if key.id == key_id:
            return key
    raise Refusal(Code.NOT_FOUND, "This key does not exist.")


def in_state(keys: Iterable[InfoT], state: KeyState) -> InfoT | None:
    """Return the first key in a state."""
    return next((key for key in keys if key.state is state), None)


def retirement_steps(
    keys: Sequence[InfoT], key_id: str, *, if_active: str
) -> tuple[Transition[InfoT], ...]:
    """
    Return the transitions that retire a key; empty if it is retired.

    Args:
        keys: All keys of the ring.
        key_id: ID of the key to retire.
        if_active: What to do first if the key is active.

    Raises:
        Refusal: `not_found`; `conflict` when the key is active.
    """
    key = find(keys, key_id)
    if key.state is KeyState.ACTIVE:
        raise Refusal(Code.CONFLICT, if_active)
    return (Transition(key, KeyState.RETIRED),) if not key.is_retired else ()


def keys_unreadable(reason: str) -> Refusal:
    """Return the refusal of a process that cannot read its keys."""
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The service cannot read its keys. Contact the operator.",
        reason=reason,
        retry_after=30,
    )
