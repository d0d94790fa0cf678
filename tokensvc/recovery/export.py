"""
An export of the audit trail: the lines that `tokensvc audit --json` prints, in a chain.

Each line's MAC covers the line before it: a line that was added, changed, removed or moved does not
fit. A run of `tokensvc audit` starts a chain, so a file may have several. A chain cannot show that
its end was cut off.
"""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import msgspec

from tokensvc.audit.rules import AuditEvent, Details
from tokensvc.core.errors import StartupError
from tokensvc.recovery.events import Text, Time
from tokensvc.recovery.replay import decoded
from tokensvc.vault.vault import Vault, VaultError


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


_UNVERIFIED = (
    "--unverified replays the export without this check: then anyone who could write to the file "
    "may have reinstated users."
)


@dataclass(frozen=True, slots=True)
class Export:
    """
    The events of an export.

    Attributes:
        events: Events, oldest first, each once.
        is_verified: Whether the chain of MACs was verified.
        is_cut: Whether the last line is incomplete, because its writer was interrupted.
        gap: Number of the first line before which events may be missing, because a run of the
            export does not overlap the earlier ones; `None` without one.
    """

    events: list[AuditEvent]
    is_verified: bool = True
    is_cut: bool = False
    gap: int | None = None


class _Line(AuditEvent, frozen=True):
    """A line of this release, or of one before events had details or lines a chain."""

    id: Annotated[str, msgspec.Meta(pattern=r"^evt_[0-9a-f]{1,60}\Z")]
    time: Time
    actor: Text
    action: Text
    subject: Text
    outcome: Text
    request_id: Text | None
    reason: Text | None
    details: Details | None = None
    chain: Link | None = None


class _Reader:
    """
    Reads lines one after the other.

    Args:
        vault: Keys that verify the chain; `None`: it is not verified.
    """

    def __init__(self, vault: Vault | None) -> None:
        self.events: dict[str, AuditEvent] = {}
        self._vault = vault
        self._previous = ""
        self._run_start = 0
        self._first_runs: dict[str, int] = {}
        self._overlaps = True
        self._gap: int | None = None

    def add(self, number: int, line: _Line) -> None:
        """
        Add the event of a line.

        Raises:
            StartupError: The line does not fit into the chain.
        """
        event = AuditEvent(*(getattr(line, name) for name in AuditEvent.__struct_fields__))
        if self._vault is not None:
            self._verify(number, line.chain, event, self._vault)
        self.events[event.id] = event

    def gap(self) -> int | None:
        """
        Return the number of the first line before which events may be missing.

        A run has all events of its time. So one that has an event of an earlier run, or continues
        after one, leaves none out.
        """
        return self._gap or (None if self._overlaps else self._run_start)

    def _verify(self, number: int, link: Link | None, event: AuditEvent, vault: Vault) -> None:
        if link is None:
            _refuse(number, "has no `chain`: `tokensvc audit --json` of this release writes it")
        if link.start is not None:
            self._previous = ""
        try:
            mac = mac_of(vault, link.key, self._previous, link.start, event)
        except VaultError as error:
            _refuse(
                number,
                f"cannot be verified: {error}. Add the key that the service had at the end of "
                "TOKENSVC_ENCRYPTION_KEYS for this command",
            )
        if not hmac.compare_digest(mac.encode(), link.mac.encode()):
            _refuse(
                number, "does not continue the chain: lines were added, changed, removed or moved"
            )
        self._previous = mac
        if link.start is not None:
            self._gap = self.gap()
            self._run_start = number
            self._overlaps = not self.events or link.start in self.events
        # Not in the same run: after a clock was set back, `--follow` repeats events.
        first_run = self._first_runs.setdefault(event.id, self._run_start)
        self._overlaps |= first_run != self._run_start


def parse(lines: Iterable[bytes], vault: Vault | None) -> Export:
    """
    Parse an export, in whatever order its events are.

    Args:
        vault: Keys that verify the chain of the lines; `None`: it is not verified.

    Raises:
        StartupError: A line is not an event, or does not fit into the chain.
    """
    reader = _Reader(vault)
    decoder = msgspec.json.Decoder(_Line)
    is_cut = False
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = decoder.decode(text)
            decoded(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if not text.endswith(b"\n"):  # only the last line of a file
                is_cut = True
                break
            raise StartupError(
                f"Line {number} of the export is not an audit event: {error}. Export again with "
                "`tokensvc audit --json`. If its writer was interrupted in this line, delete the "
                "incomplete event, and do not use --complete."
            ) from error
        reader.add(number, line)
    events = [reader.events[event_id] for event_id in sorted(reader.events)]
    return Export(events, is_verified=vault is not None, is_cut=is_cut, gap=reader.gap())


def _refuse(number: int, problem: str) -> NoReturn:
    raise StartupError(f"Line {number} of the export {problem}. {_UNVERIFIED}")
