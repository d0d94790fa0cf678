"""What an answer of Stream means for what was to be brought over. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from tokensvc.stream.responses import CallStatus, StreamResponse

_CODE_RATE_LIMITED, _CODE_NO_SUCH_USER = 9, 16

_CODES_OF_KEYS = frozenset({2, 5, 43, 99})
"""API key not valid, token malformed, signature not valid, app suspended (with 403)."""


class Result(StrEnum):
    """
    What a call means for the rows that it was about.

    `unreached`: nothing has arrived, or Stream had no time for it. `key_refused`: Stream does not
    take our keys. `refused`: it does not take this state. `left`: Stream was not asked, since there
    is something else to do.
    """

    DONE = "done"
    UNKNOWN = "unknown"
    NOT_DELIVERED = "unreached"
    KEY_REFUSED = "key_refused"
    REFUSED = "refused"
    ABSENT = "absent"
    NOT_ATTEMPTED = "left"


OF_STREAM = frozenset({Result.UNKNOWN, Result.NOT_DELIVERED, Result.KEY_REFUSED})
"""They say nothing of what the call was about: the next one would hardly do better."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of a call.

    Attributes:
        error: For operators.
        wait: Seconds that Stream wants to pass before the next call of this kind.
    """

    result: Result
    error: str | None = None
    wait: float = 0.0


def outcome_of(answer: StreamResponse) -> Outcome:
    """Read an answer."""
    if answer.verdict is not CallStatus.REFUSED:
        result = {
            CallStatus.DONE: Result.DONE,
            CallStatus.NOT_SENT: Result.NOT_DELIVERED,
            CallStatus.UNKNOWN: Result.UNKNOWN,
        }[answer.verdict]
    elif answer.status == HTTPStatus.UNAUTHORIZED or answer.code in _CODES_OF_KEYS:
        # Not every 403: with code 17 it is about what a call would do to one of its users.
        result = Result.KEY_REFUSED
    elif answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.code == _CODE_RATE_LIMITED:
        result = Result.NOT_DELIVERED
    else:
        result = Result.ABSENT if answer.code == _CODE_NO_SUCH_USER else Result.REFUSED
    return Outcome(result, answer.detail or None, answer.wait)
