"""What an act makes of a standing. Pure functions of the state, the request and the time."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tokensvc.core.errors import Code, Refusal


class RevocationKind(StrEnum):
    """Kind of the action that moved the cut-off."""

    REVOCATION = "revocation"
    SUSPENSION = "suspension"


class HoldsUntil(StrEnum):
    """Event that ends the refusals: a new sign-in, the provider's next token, or reinstatement."""

    NEXT_SIGN_IN = "next_sign_in"
    NEXT_TOKEN = "next_token"  # noqa: S105 - a provider's silent refresh passes
    REINSTATEMENT = "reinstatement"


@dataclass(frozen=True, slots=True)
class Act:
    """
    An act that moved a cut-off.

    Attributes:
        id: In the order of the acts.
        created_at: Epoch seconds.
        tokens_valid_after: The cut-off that it set.
        settled: Whether the clock was read after its commit, and the cut-off moved if need be.
        undone: Whether it no longer counts.
    """

    id: str
    kind: RevocationKind
    created_at: int
    tokens_valid_after: int
    settled: bool
    undone: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """
    Where user ids come from.

    Attributes:
        prefix: Of the ids.
        by_issue_time: Its tokens do not say when the user signed in, only when they were issued.
    """

    prefix: str
    by_issue_time: bool


_ACT_ID = re.compile(r"rev_([0-9a-f]{14})[0-9a-f]{8}")


def next_revocation_id(previous: str | None, now: float, random_hex: str) -> str:
    """
    Give an id that sorts behind those before it, also when the clock has been set back.

    Args:
        previous: The latest act of the same user, or of everyone.
        now: Epoch seconds.
        random_hex: Eight digits.
    """
    serial = int(now * 1_000_000)
    found = _ACT_ID.fullmatch(previous) if previous is not None else None
    if found is not None:
        serial = max(serial, int(found[1], 16) + 1)
    return f"rev_{serial:014x}{random_hex}"


def next_cut_off(standing: int | None, now: float) -> int:
    """
    Give the cut-off that an act sets.

    The next whole second, since `iat` has no fractions and Stream compares strictly: a token
    issued in this second is older, and one issued in the next is not.
    """
    return max(standing or 0, int(now) + 1)


def has_passed(cut_off: int, now: float) -> bool:
    """
    Tell whether the commit was so slow that the cut-off must move once more.

    A token minted from a standing read before the commit may carry any time up to now.
    """
    return now >= cut_off


def cut_off_of(acts: Iterable[Act]) -> int | None:
    """Give the cut-off that stands: the highest of the acts that are not undone."""
    return max((act.tokens_valid_after for act in acts if not act.undone), default=None)


def latest(acts: Sequence[Act]) -> Act | None:
    """Give the latest act that stands."""
    return max((act for act in acts if not act.undone), key=lambda act: act.id, default=None)


def reason_of(acts: Iterable[Act], *, suspended: bool) -> str | None:
    """Give why somebody is refused: while suspended, why that; else the reason of the latest."""
    telling = [each for each in acts if each.kind is RevocationKind.SUSPENSION or not suspended]
    act = latest(telling)
    return act.reason if act is not None else None


def revocation_to_undo(acts: Sequence[Act], act_id: str, *, suspended: bool) -> Act | None:
    """
    Give the act that an undo takes back, or `None` if it is undone already.

    Raises:
        Refusal: `not_found`, `superseded`, or `user_suspended` as a conflict.
    """
    act = next((act for act in acts if act.id == act_id), None)
    if act is None:
        raise Refusal(Code.NOT_FOUND, "There is no such revocation: the user's state names it.")
    if act.undone:
        return None
    if suspended:
        raise Refusal(
            Code.USER_SUSPENDED, "The user is suspended: reinstate them first.", status=409
        )
    if act is not latest(acts):
        raise Refusal(
            Code.SUPERSEDED, "A later revocation stands: undo that one, which the state names."
        )
    return act


def holds_until(user_id: str | None, sources: Iterable[Source], *, suspended: bool) -> HoldsUntil:
    """
    Give the weakest promise of the sources that a user may come from.

    Args:
        user_id: `None` for everyone.
        suspended: No credential mints, however fresh.
    """
    if suspended:
        return HoldsUntil.REINSTATEMENT
    fitting = [each for each in sources if user_id is None or user_id.startswith(each.prefix)]
    weak = any(each.by_issue_time for each in fitting)
    return HoldsUntil.NEXT_TOKEN if weak else HoldsUntil.NEXT_SIGN_IN
