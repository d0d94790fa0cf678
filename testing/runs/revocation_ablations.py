"""The lines that keep the promises about cut-offs and suspensions. See `ablations.py`."""

from testing.runs.ablation import Ablation

_FETCH = "fetch_clocked(self._database, self._clock, _STANDING, values)"
_READ = f"(row, *_), now = {_FETCH}"
_REMEMBERED = (
    'known = self.__dict__.setdefault("known", {})\n'
    "        if user_id not in known:\n"
    f"            known[user_id] = {_FETCH}\n"
    "        (row, *_), now = known[user_id]"
)

REVOCATION_ABLATIONS = (
    Ablation(
        "strict read",
        "tokensvc/standing/store.py",
        _READ,
        _REMEMBERED,
        "tests/standing/test_store.py::test_next_read_sees_each_commit",
    ),
    Ablation(
        "strict read, in a running fleet",
        "tokensvc/standing/store.py",
        _READ,
        _REMEMBERED,
        "tests/revocations/test_proofs.py::test_no_mint_succeeds_after_the_response_to_a_revocation[sqlite]",
    ),
    Ablation(
        "fail closed",
        "tokensvc/standing/store.py",
        _READ,
        "try:\n"
        f"            {_READ}\n"
        "        except Exception:\n"
        '            row, now = self.__dict__["last"]\n'
        '        self.__dict__["last"] = row, now',
        "tests/revocations/test_outage.py::test_request_without_the_database_gets_503",
    ),
    Ablation(
        "now before the read",
        "tokensvc/standing/clocked_read.py",
        "now = clock()\n"
        "    rows = database.fetch(_with_clock(statement) if has_clock else statement, values)",
        "rows = database.fetch(_with_clock(statement) if has_clock else statement, values)\n"
        "    now = clock()",
        "tests/standing/test_store.py::test_clock_is_read_before_the_standing[sqlite]",
    ),
    Ablation(
        "floor",
        "tokensvc/standing/rules.py",
        "return max(standing.now - skew, standing.floor)",
        "return standing.now - skew",
        "tests/revocations/test_rules.py::test_token_of_a_read_after_the_commit_is_accepted_by_stream",
    ),
    Ablation(
        "floor, in a running fleet",
        "tokensvc/standing/rules.py",
        "return max(standing.now - skew, standing.floor)",
        "return standing.now - skew",
        "tests/revocations/test_proofs.py::test_new_sign_in_works_at_each_tenth_of_a_second[sqlite-10]",
    ),
    Ablation(
        "no token from the future",
        "tokensvc/standing/rules.py",
        "if standing.floor > standing.now:",
        "if standing.floor > standing.now + 60:",
        "tests/standing/test_rules.py::test_token_is_never_from_the_future_or_before_the_floor",
    ),
    Ablation(
        "floor survives an undo",
        "tokensvc/standing/store.py",
        "floor = max(standing.floor, cut_off or 0)",
        "floor = cut_off or 0",
        "tests/revocations/test_service.py::test_undo_lowers_the_cut_off_and_keeps_the_floor",
    ),
    Ablation(
        "next whole second",
        "tokensvc/revocations/rules.py",
        "return max(current or 0, int(now) + 1)",
        "return max(current or 0, int(now))",
        "tests/revocations/test_rules.py::test_token_of_a_read_before_the_commit_is_below_the_cut_off",
    ),
    Ablation(
        "clock after the lock",
        "tokensvc/database/clock.py",
        "sa.func.clock_timestamp()",
        "sa.func.now()",
        "tests/revocations/test_cut_off.py"
        "::test_clock_is_read_after_the_wait_for_the_lock[postgresql-ada]",
    ),
    Ablation(
        "the lock",
        "tokensvc/standing/store.py",
        "_row_of(target).with_for_update()",
        "_row_of(target)",
        "tests/revocations/test_cut_off.py"
        "::test_clock_is_read_after_the_wait_for_the_lock[postgresql-None]",
    ),
    Ablation(
        "clock after the commit",
        "tokensvc/revocations/service.py",
        "if rules.has_passed(cut_off, now):",
        "if rules.has_passed(cut_off, revocation.created_at):",
        "tests/revocations/test_cut_off.py::test_token_of_a_read_during_a_slow_commit_is_below_the_cut_off",
    ),
    Ablation(
        "same transaction: the event",
        "tokensvc/revocations/service.py",
        "RevocationKind.REVOCATION, context)\n",
        "RevocationKind.REVOCATION, context)\n"
        '            tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-revoke-audit_events]",
    ),
    Ablation(
        "same transaction: the event, of an undo",
        "tokensvc/revocations/service.py",
        '                details: Details = {"revocation": undone.id}\n',
        '                tx.commit(), tx.exec_driver_sql("BEGIN")\n'
        '                details: Details = {"revocation": undone.id}\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-undo-audit_events]",
    ),
    Ablation(
        "same transaction: the event, of a reinstatement",
        "tokensvc/revocations/service.py",
        "replace(standing, suspended_at=None))\n",
        "replace(standing, suspended_at=None))\n"
        '                tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-reinstate-audit_events]",
    ),
    Ablation(
        "same transaction: the event, of a profile",
        "tokensvc/stream/delivery/service.py",
        'store.mark_pending(tx, "profile", user_id, now)\n',
        'store.mark_pending(tx, "profile", user_id, now)\n'
        '            tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/stream/delivery/test_profiles.py::test_profile_change_is_atomic[sqlite-audit_events]",
    ),
    Ablation(
        "same transaction: the delivery",
        "tokensvc/revocations/service.py",
        "standings.set_cut_off(tx, target, standing, cut_off)\n",
        "standings.set_cut_off(tx, target, standing, cut_off)\n"
        '    tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-suspend-deliveries]",
    ),
    Ablation(
        "same transaction: the delivery, of an undo",
        "tokensvc/revocations/service.py",
        "standings.set_cut_off(tx, target, standing, cut_off)\n",
        "standings.set_cut_off(tx, target, standing, cut_off)\n"
        '    tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-undo-deliveries]",
    ),
    Ablation(
        "same transaction: the delivery, of a profile",
        "tokensvc/stream/delivery/service.py",
        "profile_store.write(tx, user_id, profile, now)\n",
        "profile_store.write(tx, user_id, profile, now)\n"
        '            tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/stream/delivery/test_profiles.py::test_profile_change_is_atomic[sqlite-deliveries]",
    ),
    Ablation(
        "purge, of undone revocations only",
        "tokensvc/revocations/store.py",
        "is_old = undone_at.is_not(None) & (undone_at < undone_before)",
        "is_old = _columns.created_at < undone_before",
        "tests/revocations/test_purge.py::test_purge_changes_no_standing[sqlite]",
    ),
    Ablation(
        "purge, of finished deliveries only",
        "tokensvc/stream/delivery/store.py",
        "is_old = sa.and_(IS_FINISHED, _columns.updated_at < int(before))",
        "is_old = _columns.updated_at < int(before)",
        "tests/app/test_purges.py::test_purge_deletes_old_rows_only[sqlite-deliveries]",
    ),
    Ablation(
        "purge, of deliveries that no token needs",
        "tokensvc/revocations/store.py",
        "finished_before = now - max(retention, OBSOLETE_AFTER)",
        "finished_before = now - retention",
        "tests/app/test_purges.py"
        "::test_purge_deletes_old_rows_only[sqlite-deliveries_of_valid_tokens]",
    ),
)
