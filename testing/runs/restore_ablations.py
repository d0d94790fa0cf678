"""The lines that keep the promises about backups and restores. See `ablations.py`."""

from testing.runs.ablation import Ablation

RESTORE_ABLATIONS = (
    Ablation(
        "backup without the marker",
        "tokensvc/database/sqlite_backup.py",
        '            copy.execute(f"DELETE FROM {MARKER_TABLE}")  # noqa: S608 - a constant\n',
        "",
        "tests/recovery/test_after_restore.py::test_restored_database_does_not_start[sqlite]",
    ),
    Ablation(
        "no WAL of another database",
        "tokensvc/database/sqlite_backup.py",
        'for suffix in ("", *_LEFT_BEHIND):',
        'for suffix in ("",):',
        "tests/recovery/test_backup.py"
        "::test_wal_of_the_previous_database_does_not_reach_the_restored_one",
    ),
    Ablation(
        "export overlaps the backup",
        "tokensvc/recovery/service.py",
        "            backup_event is not None and lacks_last\n",
        "            backup_event is None and lacks_last\n",
        "tests/recovery/test_after_restore.py"
        "::test_export_that_lacks_the_last_event_of_the_backup_is_not_complete[sqlite]",
    ),
    Ablation(
        "margin of a replayed cut-off",
        "tokensvc/recovery/standing_replay.py",
        "event.time + 1) + _LONGEST_ACTION",
        "event.time + 1)",
        "tests/recovery/test_after_restore.py"
        "::test_replayed_cut_off_covers_the_longest_commit[sqlite]",
    ),
    Ablation(
        "no reinstatement of a later suspension",
        "tokensvc/recovery/standing_replay.py",
        "ends = standing.suspended_at is not None and standing.suspended_at <= event.time",
        "ends = standing.suspended_at is not None",
        "tests/recovery/test_after_restore.py"
        "::test_suspension_after_the_restore_survives_an_older_reinstatement[sqlite]",
    ),
    Ablation(
        "codes are used up",
        "tokensvc/recovery/service.py",
        "    accounts.end_all_codes(tx, now)\n",
        "",
        "tests/recovery/test_after_restore.py::test_used_invitation_cannot_be_used_again[sqlite]",
    ),
    Ablation(
        "sessions end with a restore",
        "tokensvc/recovery/service.py",
        "replace(standing, epoch=standing.epoch + 1)",
        "replace(standing, epoch=standing.epoch)",
        "tests/recovery/test_restore_proof.py::test_what_was_refused_is_refused_after_a_restore",
    ),
)
