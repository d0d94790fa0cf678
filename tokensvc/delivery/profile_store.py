"""The rows of profiles: the user objects that Stream is to hold."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Transaction
from tokensvc.database.tables import profiles
from tokensvc.database.upsert import insert

_columns = profiles.c
_UNWRITTEN = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """
    A user object that Stream is to hold.

    Attributes:
        set: Its members, but for the id.
        unset: Members of former profiles that Stream may still hold.
    """

    set: Mapping[str, Any]
    unset: Sequence[str]


def read(connection: sa.Connection, user_ids: Collection[str]) -> Iterator[tuple[str, Profile]]:
    """Give users' profiles."""
    texts = sa.select(_columns.user_id, _columns.profile).where(_columns.user_id.in_(user_ids))
    for row in connection.execute(texts):
        yield row.user_id, _parse(row.profile)


def lock(tx: Transaction, user_id: str) -> Profile | None:
    """Give a user's profile, and hold it until the transaction ends."""
    first = insert(tx, profiles).values(user_id=user_id, profile=_UNWRITTEN, updated_at=0)
    tx.execute(first.on_conflict_do_nothing())
    text = tx.scalar(
        sa.select(_columns.profile).where(_columns.user_id == user_id).with_for_update()
    )
    return None if text in {None, _UNWRITTEN} else _parse(text)


def write(tx: Transaction, user_id: str, profile: Profile, now: float) -> None:
    """Write a profile that is held."""
    row = profiles.update().where(_columns.user_id == user_id)
    tx.execute(row.values(profile=json.dumps(asdict(profile)), updated_at=int(now)))


def _parse(text: str) -> Profile:
    return Profile(**json.loads(text))
