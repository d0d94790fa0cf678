"""When the keys of access tokens are made, published, used and retired. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokensvc.stream.keys.states import KeyInfo, KeyState, Transition, in_state

MARGIN_SECONDS = 5
"""
Seconds added to each period of publication and verification.

A transaction is dated before its commit, and responses that were made before it arrive later. A
request gets its response within this time.
"""


class SigningKeyInfo(KeyInfo, frozen=True):
    """
    A key of access tokens without its secret.

    Attributes:
        id: ID of the key, the `kid` of its tokens.
        retiring_at: Time at which the next key became active, in epoch seconds.
    """

    retiring_at: int | None


@dataclass(frozen=True, slots=True)
class SigningPeriods:
    """
    Periods of the ring in seconds.

    Attributes:
        rotation: Time after its activation at which the next key is made.
        publication: Time for which a verifier may not know a new key: `max-age` of the published
            set.
        verification: Maximum lifetime of a token.
    """

    rotation: int
    publication: int
    verification: int


@dataclass(frozen=True, slots=True)
class DueChanges:
    """
    Due changes of the ring.

    Attributes:
        transitions: Transitions in an order that never has two active keys.
        new_key: State of a key to make; `None` if none is needed.
    """

    transitions: tuple[Transition[SigningKeyInfo], ...]
    new_key: KeyState | None

    def __bool__(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.transitions) or self.new_key is not None


def due_changes(keys: Sequence[SigningKeyInfo], periods: SigningPeriods, now: float) -> DueChanges:
    """
    Return what the rotation must do now.

    A standby key becomes active when every verifier knows it, or immediately if no key is active.
    The previous key is retired when its last token has expired.

    Args:
        keys: Keys of the ring.
    """
    expired = tuple(
        Transition(key, KeyState.RETIRED)
        for key in keys
        if key.state is KeyState.RETIRING
        and _has_passed(key.retiring_at, periods.verification + MARGIN_SECONDS, now)
    )
    active, standby = in_state(keys, KeyState.ACTIVE), in_state(keys, KeyState.STANDBY)
    if standby is None:
        return DueChanges(expired, _state_of_new_key(active, periods, now))
    if active is None:
        return DueChanges((*expired, Transition(standby, KeyState.ACTIVE)), None)
    if not _has_passed(standby.created_at, periods.publication + MARGIN_SECONDS, now):
        return DueChanges(expired, None)
    return DueChanges(
        (
            *expired,
            Transition(active, KeyState.RETIRING),
            Transition(standby, KeyState.ACTIVE),
        ),
        None,
    )


def _state_of_new_key(
    active: SigningKeyInfo | None, periods: SigningPeriods, now: float
) -> KeyState | None:
    if active is None:
        return KeyState.ACTIVE
    is_old = _has_passed(active.activated_at, periods.rotation, now)
    return KeyState.STANDBY if is_old else None


def _has_passed(since: int | None, period: int, now: float) -> bool:
    """
    Return whether a period is over.

    Also if the clock was set back by more than the period: otherwise nothing would happen until it
    has caught up.
    """
    return abs(now - (since or 0)) >= period
