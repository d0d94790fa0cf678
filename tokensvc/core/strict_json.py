"""
JSON that all readers take for the same thing: no member twice, none of NaN and the infinities.

Two readers of one text could take it for two things otherwise (RFC 8259 sections 4 and 6). Leaves
surrogates, depth and the size of numbers to whoever knows what the text is for.
"""

import json
from collections.abc import Callable
from typing import Any


def decoder(
    *,
    parse_float: Callable[[str], Any] | None = None,
    parse_int: Callable[[str], Any] | None = None,
) -> json.JSONDecoder:
    """Give a decoder that raises `ValueError` for a member twice and for what is no JSON."""
    return json.JSONDecoder(
        object_pairs_hook=unique,
        parse_constant=_reject_constant,
        parse_float=parse_float,
        parse_int=parse_int,
    )


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Give the members by name.

    Raises:
        ValueError: One is named twice.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
