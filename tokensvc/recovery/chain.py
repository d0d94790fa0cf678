"""
The chain of an exported audit trail: each line's MAC covers the line before it.

A line that was added, changed, removed or moved does not fit. A run of `tokensvc audit` starts a
chain, so a file may have several. A chain cannot show that its end was cut off.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tokensvc.audit.rules import AuditEvent
from tokensvc.vault.vault import Vault


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    The place of a line in its chain.

    Attributes:
        key: Fingerprint of the encryption key.
        mac: MAC of the line, of `start` and of the MAC of the line before it.
        start: Set on the first line of a run: ID of the event after which the run continues, or an
            empty text.
    """

    key: str
    mac: str
    start: str | None = None


def mac_of(vault: Vault, key: str, previous: str, start: str | None, event: AuditEvent) -> str:
    """
    Return the MAC of a line.

    Args:
        key: Fingerprint of the encryption key.
        previous: MAC of the line before it; empty for the first line of a run.

    Raises:
        VaultError: The vault does not have the key.
    """
    members = {name: getattr(event, name) for name in AuditEvent.__struct_fields__}
    return vault.mac(msgspec.json.encode([previous, start, members]), key)


def chained(vault: Vault, after: str) -> Callable[[AuditEvent], dict[str, Any]]:
    """
    Start the chain of one run.

    Args:
        after: ID of the event after which the run continues, or an empty text.

    Returns:
        Function that returns the next line.
    """
    start: str | None = after
    previous = ""

    def line(event: AuditEvent) -> dict[str, Any]:
        nonlocal start, previous
        key = vault.first_fingerprint
        link = Link(key, mac_of(vault, key, previous, start, event), start)
        previous, start = link.mac, None
        return {**msgspec.to_builtins(event), "chain": msgspec.to_builtins(link)}

    return line
