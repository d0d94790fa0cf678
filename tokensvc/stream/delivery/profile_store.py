"""The rows of profiles: the user objects that Stream must hold."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Transaction
from tokensvc.database.upsert import insert
from tokensvc.standing import store as standings
from tokensvc.stream.delivery.tables import profiles

_columns = profiles.c
_NOT_WRITTEN = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """
    A user object that Stream must hold.

    Attributes:
        set: Members of the object, without `id`.
        unset: Names of members of previous profiles that Stream may still hold.
    """

    set: Mapping[str, Any]
    unset: Sequence[str]


def read(connection: sa.Connection, user_ids: Collection[str]) -> Iterator[tuple[str, Profile]]:
    """Yield users' profiles with their ids."""
    texts = sa.select(_columns.user_id, _columns.profile).where(_columns.user_id.in_(user_ids))
    for row in connection.execute(texts):
        yield row.user_id, _parse(row.profile)


def lock(tx: Transaction, user_id: str) -> Profile | None:
    """
    Return a user's profile, locked until the transaction ends.

    Raises:
        Refusal: `user_erased`.
    """
    profile = _lock(tx, user_id)
    # After the lock, which `delete` takes too: it sees this profile, or this sees the erasure.
    standings.check_not_erased(tx, user_id)
    return profile


def _lock(tx: Transaction, user_id: str) -> Profile | None:
    first = insert(tx, profiles).values(user_id=user_id, profile=_NOT_WRITTEN, updated_at=0)
    tx.execute(first.on_conflict_do_nothing())
    text = tx.scalar(
        sa.select(_columns.profile).where(_columns.user_id == user_id).with_for_update()
    )
    return None if text in {None, _NOT_WRITTEN} else _parse(text)


def write(tx: Transaction, user_id: str, profile: Profile, now: float) -> None:
    """Write a locked profile."""
    row = profiles.update().where(_columns.user_id == user_id)
    tx.execute(row.values(profile=json.dumps(asdict(profile)), updated_at=int(now)))


def delete(tx: Transaction, user_id: str) -> bool:
    """Delete a user's profile, also one that another transaction adds. Return whether it was."""
    is_stored = _lock(tx, user_id) is not None
    tx.execute(profiles.delete().where(_columns.user_id == user_id))
    return is_stored


def _parse(text: str) -> Profile:
    return Profile(**json.loads(text))
