"""An export of the audit trail: the lines that `tokensvc audit --json` prints."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from tokensvc.audit.rules import AuditEvent
from tokensvc.core.errors import StartupError


@dataclass(frozen=True, slots=True)
class Export:
    """
    The events of an export.

    Attributes:
        events: Events, oldest first, each once.
        is_cut: Whether the last line is incomplete, because its writer was interrupted.
    """

    events: list[AuditEvent]
    is_cut: bool


class _ExportedEvent(AuditEvent, frozen=True):
    """An event of this release, or of one before events had details."""

    details: dict[str, str | int | bool | list[str]] | None = None


def parse(lines: Iterable[bytes]) -> Export:
    """
    Parse an export, in whatever order its events are.

    Raises:
        StartupError: A line is not an event.
    """
    events: dict[str, AuditEvent] = {}
    decoder = msgspec.json.Decoder(_ExportedEvent)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):  # only the last line of a file
                return Export(_sorted(events), is_cut=True)
            raise StartupError(
                f"Line {number} of the export is not an audit event: {error}. Export again with "
                "`tokensvc audit --json`, or remove the line and do not use --complete."
            ) from error
        events[event.id] = event
    return Export(_sorted(events), is_cut=False)


def _sorted(events: dict[str, AuditEvent]) -> list[AuditEvent]:
    return [events[event_id] for event_id in sorted(events)]
