"""What a check finds, for operators."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """
    State of the service or one of its parts:

    `degraded` works for most requests, `failed` for none.
    """

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


class Finding(NamedTuple):
    """
    What a check has found. A check returns `None` if all is well and there is nothing to tell.

    Attributes:
        state: State of the checked part.
        detail: Cause and next step, without secrets.
        is_shared: Whether every instance finds the same, because they share the part.
    """

    state: State
    detail: str = ""
    is_shared: bool = False
