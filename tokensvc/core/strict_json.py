"""
JSON without what readers interpret differently.

Source: RFC 8259 sections 4 and 6. In a body, numbers too large for a float, lone surrogates and
deep nesting are refused too.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from tokensvc.core.errors import Refusal, malformed

MAX_DEPTH = 32
MAX_DIGITS = 4300
"""Limit of Python's own integer conversion, which takes quadratic time."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Return the members by name.

    Raises:
        ValueError: A member is a duplicate.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


DECODER: Final = json.JSONDecoder(object_pairs_hook=unique, parse_constant=_reject_constant)
"""Raises `ValueError` for duplicate members, NaN, infinities and invalid JSON."""

_decode_body = json.JSONDecoder(
    object_pairs_hook=unique,
    parse_constant=_reject_constant,
    parse_float=_finite,
    parse_int=_integer,
).decode


def parse_body(body: bytes) -> Any:
    """
    Parse the body of a request.

    Raises:
        Refusal: `malformed_request`. The detail does not quote the body.
    """
    try:
        content = _decode_body(body.decode("utf-8"))
        if _SURROGATE.search(body):
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("The body is not UTF-8.") from error
    except UnicodeEncodeError as error:
        raise malformed("The body contains a lone surrogate, which is not a character.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise malformed(f"The body is not JSON: {_json_error(error)}.") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(content) > MAX_DEPTH:
        raise _too_deep()
    return content


def _depth(content: Any) -> int:
    depth, level = 0, [content]
    while level:
        depth += 1
        level = [child for item in level for child in _children(item)]
    return depth


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def _json_error(error: ValueError) -> str:
    """Return the error and its position without quoting the body."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error)


def _too_deep() -> Refusal:
    return malformed(f"The body has more than {MAX_DEPTH} levels of nesting.")
