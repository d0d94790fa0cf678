"""What an answer means, from Stream or from whatever is in its place. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from tokensvc.stream.wire import Exchanged

MAX_WAIT = 3600.0
"""Seconds; what asks for more is not obeyed."""

_DONE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_REFUSED = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT}


class CallStatus(StrEnum):
    """
    What a call has done at Stream.

    `done` and `refused` are Stream's own word, told by what only Stream's answers carry. A proxy's
    word is `unknown`, as are a lost answer and Stream's own failure: what was asked for may have
    been done, or be done later.
    """

    DONE = "done"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """
    What came of a call.

    Attributes:
        detail: For operators. Not trusted text; no secret.
        code: Stream's, of a refusal.
        wait: Seconds that Stream wants to pass before the next call of this kind.
        content: The body of an answer that is `done`.
    """

    verdict: CallStatus
    detail: str = ""
    status: int | None = None
    code: int | None = None
    wait: float = 0.0
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read(exchanged: Exchanged, now: float) -> StreamResponse:
    """
    Read an answer.

    Args:
        now: Epoch seconds, where the answer does not tell the time.
    """
    status, content = exchanged.status, exchanged.content
    wait = _wait(exchanged.headers, now)
    content = content or {}
    if status in _DONE and isinstance(content.get("duration"), str):
        return StreamResponse(CallStatus.DONE, status=status, wait=wait, content=content)
    code = content.get("code")
    if not isinstance(code, int):
        return StreamResponse(
            CallStatus.UNKNOWN, f"status {status}, not Stream's", status, wait=wait
        )
    verdict = CallStatus.REFUSED if status in _REFUSED else CallStatus.UNKNOWN
    return StreamResponse(verdict, error_text(content), status, code, wait)


def check_written_users(answer: StreamResponse, user_ids: Collection[str]) -> StreamResponse:
    """Hold an answer against the users that were written: Stream gives all of them back."""
    users = answer.content.get("users")
    return _if_streams(answer, isinstance(users, dict) and users.keys() >= set(user_ids))


def check_found_users(answer: StreamResponse) -> StreamResponse:
    """Hold an answer against what Stream tells of users that it finds."""
    users = answer.content.get("users")
    return _if_streams(
        answer,
        isinstance(users, list)
        and all(isinstance(user, dict) and isinstance(user.get("id"), str) for user in users),
    )


def _if_streams(answer: StreamResponse, is_streams: bool) -> StreamResponse:
    if is_streams or answer.verdict is not CallStatus.DONE:
        return answer
    detail = f"status {answer.status}, without the users that Stream gives"
    return StreamResponse(CallStatus.UNKNOWN, detail, answer.status, wait=answer.wait)


def error_text(content: Mapping[str, Any]) -> str:
    """Give Stream's code and message, for operators."""
    return plain(f"code {content.get('code')}: {content.get('message', '')}")


def plain(text: str) -> str:
    """Make a text from elsewhere one that a database can hold and a terminal show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:300])


def _wait(headers: Mapping[str, str], now: float) -> float:
    """Read `Retry-After`, and the rate limit that this call has used up."""
    now = time_of(headers.get("Date")) or now
    waits = [0.0]
    retry_after = headers.get("Retry-After", "")
    if retry_after.isdecimal():
        waits.append(float(retry_after))
    elif (date := time_of(retry_after)) is not None:
        waits.append(date - now)
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        waits.append(float(reset) - now)
    return min(max(waits), MAX_WAIT)


def time_of(date: str | None) -> float | None:
    """Read a time as HTTP writes it; what is none is `None`."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):  # the second for a year of many digits
        return None
