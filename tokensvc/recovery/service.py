"""What makes a restored database safe to use, in one transaction."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import msgspec

from tokensvc.accounts import store as accounts
from tokensvc.audit import store as audit
from tokensvc.audit.rules import Action, AuditEvent, Details
from tokensvc.clients import store as clients
from tokensvc.core.actions import APP, ActionContext
from tokensvc.core.errors import StartupError
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.origin import has_marker, write_marker
from tokensvc.recovery import replay
from tokensvc.recovery.events import DatabaseRestored, Replay, decode
from tokensvc.recovery.export import Export
from tokensvc.revocations import store as revocation_store
from tokensvc.revocations.erasures import Erasures
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state_reads import delivery_of
from tokensvc.standing import ring_versions
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind, Ring, next_bound
from tokensvc.stream.delivery import store as deliveries
from tokensvc.stream.keys.states import KeyState, in_state
from tokensvc.stream.keys.store import STREAM_KEYS

_BATCH = 500
_NOT_RESTORED = (
    "This database was not restored from a backup, or `after-restore` has made it live already: "
    "nothing was changed. On it, the command would sign users out and could disable every client "
    "secret. If it is a copy that `tokensvc backup` did not make (a snapshot, `cp`, point-in-time "
    "recovery), or you have another export for it, add --copied."
)

_LOST = frozenset({Action.CLIENT_CREATED, Action.CLIENT_SECRET_ADDED, Action.STREAM_KEY_ADDED})


@dataclass(frozen=True, slots=True)
class Choices:
    """
    The operator's options for a restore.

    Attributes:
        is_complete: Whether the export has every event until the database was lost.
        keeps_clients: Whether client secrets stay valid without an export.
        keeps_sign_up: Whether open sign-up stays open without an export.
        is_copied: Whether the database is a copy that has the marker of the live one.
    """

    is_complete: bool = False
    keeps_clients: bool = False
    keeps_sign_up: bool = False
    is_copied: bool = False


class RecoveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """
    Result of `after-restore`. Times are epoch seconds.

    Attributes:
        applied: Number of replayed events by action.
        reinstated: Users whose suspension the replay has ended.
        verified: Whether the chain of the export was verified; `None` without an export.
        last_event_at: Time of the last event of the export; `None` without one.
        cut_off: Cut-off that was set for all users; `None` if none was needed.
        cut_off_because: Reason for it.
        secrets_disabled: Number of client secrets that were disabled.
        sign_up_closed: Whether open sign-up is closed now.
        lost: Actions that created something that is lost, with their subjects.
        has_active_stream_key: Whether a Stream key is active.
        dry_run: Whether nothing was changed.
    """

    applied: dict[str, int]
    reinstated: list[str]
    verified: bool | None
    last_event_at: int | None
    cut_off: int | None
    cut_off_because: str | None
    secrets_disabled: int
    sign_up_closed: bool
    lost: list[tuple[str, str]]
    has_active_stream_key: bool
    dry_run: bool


def recover(
    database: Database,
    database_clock: DatabaseClock,
    revocations: Revocations,
    erasures: Erasures,
    *,
    export: Export | None,
    choices: Choices,
    context: ActionContext,
) -> RecoveryResult:
    """
    Replay an export, sign users out and write the marker of the live database.

    All of it is one transaction: if it is interrupted, nothing has changed. It can be run again,
    also with another export.

    Raises:
        StartupError: The database has the marker, and is no copy.
    """
    # No other migration, and without timeouts.
    with database.migration(dry_run=context.dry_run) as tx:
        if has_marker(tx) and not choices.is_copied:
            raise StartupError(_NOT_RESTORED)
        ring_versions.lock(tx)
        state = Replay(tx, partial(database_clock.read, tx), erasures.erase_rows)
        result = _recover(state, revocations, export, choices, context)
    if result.cut_off is None or context.dry_run:
        return result
    confirmed = revocations.confirm(APP)  # moves the cut-off if the commit took long
    return msgspec.structs.replace(result, cut_off=confirmed.tokens_valid_after)


def _recover(
    state: Replay,
    revocations: Revocations,
    export: Export | None,
    choices: Choices,
    context: ActionContext,
) -> RecoveryResult:
    tx, clock = state.tx, state.clock
    backup_event = _last_event_of_backup(tx)
    started = clock()
    was_ahead = audit.latest_time(tx) > started
    events = _lost_events(tx, export, started) if export is not None else iter(())
    applied, lost = _replay(state, events)
    now = clock()
    _end_everything(tx, now)
    # Not of the others: they may have signed in again since, with devices that get push.
    revocations.reach_within(tx, sorted(state.banned), now)
    because = _why_cut_off(export, choices, backup_event, was_ahead=was_ahead)
    cut_off = _revoke_app(tx, context, now) if because is not None else None
    disables = export is None and not choices.keeps_clients
    disabled = clients.end_secrets(tx, now, created_until=now) if disables else 0
    closes = export is None and not choices.keeps_sign_up
    write_marker(tx, sign_up_closed=closes)
    details = _details(secrets_disabled=disables, backup_event=backup_event)
    now = clock()  # the last event, so that a repetition finds it
    audit.record(tx, context, Action.DATABASE_RESTORED, "database", now=now, details=details)
    return RecoveryResult(
        applied=dict(applied),
        reinstated=sorted(state.reinstated),
        verified=export.is_verified if export is not None else None,
        last_event_at=export.events[-1].time if export and export.events else None,
        cut_off=cut_off,
        cut_off_because=because,
        secrets_disabled=disabled,
        sign_up_closed=closes,
        lost=lost,
        has_active_stream_key=in_state(STREAM_KEYS.every_key(tx), KeyState.ACTIVE) is not None,
        dry_run=context.dry_run,
    )


def _lost_events(tx: Transaction, export: Export, now: float) -> Iterator[AuditEvent]:
    """Insert the events that the database lost into its audit trail, and yield them."""
    events = iter(export.events)
    while batch := list(islice(events, _BATCH)):
        yield from audit.insert_missing(tx, batch, now)


def _replay(
    state: Replay, events: Iterator[AuditEvent]
) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Apply events. Return their numbers by action, and what was created by the others."""
    applied: Counter[str] = Counter()
    lost = []
    for event in events:
        if replay.apply(state, event):
            applied[event.action] += 1
        if event.action in _LOST:
            name = (event.details or {}).get("api_key", event.subject)
            lost.append((event.action, str(name)))
    return applied, lost


def _end_everything(tx: Transaction, now: float) -> None:
    """
    Invalidate everything that the restored database may wrongly consider valid or delivered.

    A restored session would accept refresh tokens that were used since, and a restored code a
    second use. Stream is notified of every cut-off again.
    """
    standing = standings.lock(tx, APP)
    standings.write(tx, APP, replace(standing, epoch=standing.epoch + 1))
    for ring in Ring:
        ring_versions.change(tx, ring)
    accounts.end_all_codes(tx, now)
    deliveries.mark_pending(tx, *delivery_of(APP), now)
    after = None
    while page := standings.page_of_users(tx, suspended=None, after=after, limit=_BATCH):
        deliveries.mark_each_pending(tx, "user", list(page), now)
        after = list(page)[-1]


def _revoke_app(tx: Transaction, context: ActionContext, now: float) -> int:
    standing = standings.lock(tx, APP)
    cut_off = next_bound(standing.tokens_valid_after, now)
    details = revocation_store.add_revocation(
        tx, APP, RevocationKind.REVOCATION, context, cut_off=cut_off, now=now
    )
    standings.write(tx, APP, replace(standing, tokens_valid_after=cut_off))
    audit.record(tx, context, Action.APP_REVOKED, APP.subject, now=now, details=details)
    return cut_off


def _why_cut_off(
    export: Export | None, choices: Choices, backup_event: str | None, *, was_ahead: bool
) -> str | None:
    """
    Return why all users must sign in again; `None` if the export tells of everything.

    Args:
        was_ahead: Whether the backup has a time in the future. Such an event is the last one of
            almost any export, and such a purge seems to cover events from after the backup.
    """
    if export is None:
        return "no export of the audit trail was given"
    if not choices.is_complete:
        return "the export may lack the last events (--complete says that it does not)"
    lacks_last = all(event.id != backup_event for event in export.events)
    reasons = {
        "the last line of the export is incomplete": export.is_cut,
        f"the export may lack events before its line {export.gap}": export.gap is not None,
        f"the export lacks the last event of the backup ({backup_event})": (
            backup_event is not None and lacks_last
        ),
        "a clock was ahead: the audit trail of the backup has times in the future": was_ahead,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _details(*, secrets_disabled: bool, backup_event: str | None) -> Details:
    """Return the facts of a restore: see `DatabaseRestored`."""
    facts: Details = {"secrets_disabled": True} if secrets_disabled else {}
    return facts | {"backup_event": backup_event} if backup_event is not None else facts


def _last_event_of_backup(tx: Transaction) -> str | None:
    """Return the last event that the backup had, also if this is run again."""
    last = audit.last(tx)
    if last is None:
        return None
    if last.action == Action.DATABASE_RESTORED:
        return decode(last, DatabaseRestored).backup_event or None
    return last.id
