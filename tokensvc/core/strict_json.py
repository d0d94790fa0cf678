"""
JSON without duplicate members, NaN and infinities, which readers interpret differently.

Source: RFC 8259 sections 4 and 6. Callers check surrogates, depth and the size of numbers.
"""

import json
from collections.abc import Callable
from typing import Any


def decoder(
    *,
    parse_float: Callable[[str], Any] | None = None,
    parse_int: Callable[[str], Any] | None = None,
) -> json.JSONDecoder:
    """Return a decoder that raises `ValueError` for duplicate members and invalid JSON."""
    return json.JSONDecoder(
        object_pairs_hook=unique,
        parse_constant=_reject_constant,
        parse_float=parse_float,
        parse_int=parse_int,
    )


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
