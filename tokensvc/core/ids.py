"""IDs that sort in the order of their creation."""

import re

_SORTABLE = re.compile(r"[a-z]+_([0-9a-f]{14})[0-9a-f]{8}")


def sortable_id(prefix: str, previous: str | None, now: float, random_hex: str) -> str:
    """
    Return an ID that sorts after the previous one, even if the clock was set back.

    Args:
        prefix: Lowercase letters that name the kind of record.
        previous: Highest ID so far; `None` for the first record.
        random_hex: Eight random hexadecimal digits.
    """
    serial = int(now * 1_000_000)
    found = _SORTABLE.fullmatch(previous) if previous is not None else None
    if found is not None:
        serial = max(serial, int(found[1], 16) + 1)
    return f"{prefix}_{serial:014x}{random_hex}"
