"""The lines that keep the promises, how each is removed, and the test that fails without it."""

from testing.runs.ablation import Ablation
from testing.runs.account_ablations import ACCOUNT_ABLATIONS
from testing.runs.restore_ablations import RESTORE_ABLATIONS
from testing.runs.session_ablations import SESSION_ABLATIONS
from testing.runs.sign_in_ablations import SIGN_IN_ABLATIONS

_READ = 'row = self._read.fetch({"user_id": user_id})'
_REMEMBERED = (
    'known = self.__dict__.setdefault("known", {})\n'
    "        if user_id not in known:\n"
    '            known[user_id] = self._read.fetch({"user_id": user_id})\n'
    "        row = known[user_id]"
)

ABLATIONS = (
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
        '            row = self._read.fetch({"user_id": user_id})\n'
        "        except Exception:\n"
        '            row = self.__dict__["last"]\n'
        '        self.__dict__["last"] = row',
        "tests/revocations/test_outage.py::test_request_without_the_database_gets_503",
    ),
    Ablation(
        "now before the read",
        "tokensvc/standing/store.py",
        "now = int(self._clock())\n        row = self._read.fetch",
        "row = self._read.fetch",
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
        "tests/revocations/test_proofs.py"
        "::test_new_sign_in_works_at_each_tenth_of_a_second[sqlite]",
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
        "tokensvc/revocations/service.py",
        "replace(standing, tokens_valid_after=cut_off))",
        "replace(standing, tokens_valid_after=cut_off, floor=cut_off or 0))",
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
        "                deliveries.mark_pending(tx, *delivery_of(target), now)\n",
        "                deliveries.mark_pending(tx, *delivery_of(target), now)\n"
        '                tx.commit(), tx.exec_driver_sql("BEGIN")\n',
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
        "tokensvc/delivery/service.py",
        'store.mark_pending(tx, "profile", user_id, now)\n',
        'store.mark_pending(tx, "profile", user_id, now)\n'
        '                tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/delivery/test_profiles.py::test_profile_change_is_atomic[sqlite-audit_events]",
    ),
    Ablation(
        "same transaction: the delivery",
        "tokensvc/revocations/service.py",
        "tokens_valid_after=cut_off, floor=floor))\n",
        'tokens_valid_after=cut_off, floor=floor))\n    tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-suspend-deliveries]",
    ),
    Ablation(
        "same transaction: the delivery, of an undo",
        "tokensvc/revocations/service.py",
        "tokens_valid_after=cut_off))\n",
        'tokens_valid_after=cut_off))\n                tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-undo-deliveries]",
    ),
    Ablation(
        "same transaction: the delivery, of a profile",
        "tokensvc/delivery/service.py",
        "profile_store.write(tx, user_id, profile, now)\n",
        "profile_store.write(tx, user_id, profile, now)\n"
        '                tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/delivery/test_profiles.py::test_profile_change_is_atomic[sqlite-deliveries]",
    ),
    Ablation(
        "append-only trail",
        "tokensvc/database/migrations/versions/0002_revocations_deliveries_audit.py",
        "BEFORE UPDATE OR DELETE ON audit_events",
        "BEFORE DELETE ON audit_events",
        "tests/audit/test_trail.py::test_database_refuses_to_change_or_delete_an_event[postgresql-updated]",
    ),
    Ablation(
        "append-only trail, emptied",
        "tokensvc/database/migrations/versions/0002_revocations_deliveries_audit.py",
        "BEFORE TRUNCATE ON audit_events",
        "BEFORE TRUNCATE ON deliveries",
        "tests/audit/test_trail.py::test_database_refuses_to_change_or_delete_an_event[postgresql-emptied]",
    ),
    Ablation(
        "append-only trail, replaced",
        "tokensvc/database/migrations/versions/0002_revocations_deliveries_audit.py",
        "WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)",
        "WHEN EXISTS (SELECT 1 FROM audit_events WHERE id <> id)",
        "tests/audit/test_trail.py::test_database_refuses_to_change_or_delete_an_event[sqlite-replaced]",
    ),
    Ablation(
        "clock ahead",
        "tokensvc/standing/rules.py",
        "return standing.tokens_valid_after + clock_ahead",
        "return standing.tokens_valid_after",
        "tests/revocations/test_rules.py::test_sign_in_before_a_revocation_is_refused",
    ),
    Ablation(
        "no sign-in from the future",
        "tokensvc/issuers/rules.py",
        "if signed_in_at > now + clock_ahead:",
        "if signed_in_at > now + clock_ahead + 60:",
        "tests/security/test_sign_in_times.py::test_sign_in_from_the_future_gets_no_token",
    ),
    Ablation(
        "the session's first factor",
        "tokensvc/issuers/rules.py",
        'return min(entry["timestamp"] for entry in entries)',
        'return max(entry["timestamp"] for entry in entries)',
        "tests/security/test_sign_in_times.py"
        "::test_revoked_session_with_a_new_second_factor_is_refused",
    ),
    Ablation(
        "a suspension stops a vouching client",
        "tokensvc/callers/rules.py",
        "if standing.suspended:",
        "if standing.suspended and not getattr(caller, 'vouches', False):",
        "tests/revocations/test_routes.py::test_suspended_user_gets_no_token",
    ),
    Ablation(
        "lease",
        "tokensvc/delivery/store.py",
        "return (*_is_in(queue), _columns.due_at <= now, is_free)",
        "return (*_is_in(queue), _columns.due_at <= now, is_free | sa.true())",
        "tests/delivery/test_store.py::test_due_rows_are_open_and_not_leased",
    ),
    Ablation(
        "a lease is its holder's",
        "tokensvc/delivery/rules.py",
        "if row.lease_until != leased.lease_until:",
        "if row.lease_until != leased.lease_until and not row.subject:",
        "tests/delivery/test_failures.py::test_suspended_sender_does_not_win",
    ),
    Ablation(
        "a lease that ran out was a lost call",
        "tokensvc/delivery/rules.py",
        "resend_at=resend_time(now) if lost else row.resend_at",
        "resend_at=row.resend_at",
        "tests/delivery/test_rules.py::test_expired_lease_is_a_lost_call",
    ),
    Ablation(
        "resend_at",
        "tokensvc/delivery/rules.py",
        "if row.resend_at is not None and leased_at < row.resend_at:",
        "if row.resend_at is None and leased_at < 0:",
        "tests/delivery/test_failures.py::test_state_is_resent_twice_after_a_lost_response",
    ),
    Ablation(
        "the ring of the moment",
        "tokensvc/tokens/service.py",
        "self._keys.ring_at(standing.ring_version)",
        "self._keys._ring or self._keys.current_ring()",
        "tests/keys/test_races.py::test_no_token_is_signed_with_a_key_after_the_response_to_retire",
    ),
    Ablation(
        "any other version of the ring",
        "tokensvc/keys/ring.py",
        "ring is not None and ring.version == version:",
        "ring is not None and ring.version >= version:",
        "tests/keys/test_database_set_back.py::test_only_keys_of_the_restored_database_sign",
    ),
    Ablation(
        "a version never repeats",
        "tokensvc/standing/ring_versions.py",
        "ring_id: secrets.token_hex(16)",
        'ring_id: ""',
        "tests/keys/test_stream_key_ring.py"
        "::test_equal_counter_of_a_database_that_was_set_back_reloads_the_ring",
    ),
    Ablation(
        "the ring that verified",
        "tokensvc/callers/access_tokens.py",
        "self._tokens.verify_again(caller.access_token, found.signing_ring_version)",
        "pass",
        "tests/callers/test_access_tokens.py::test_retired_key_verifies_nothing_at_any_worker",
    ),
    Ablation(
        "the user of the session",
        "tokensvc/callers/access_tokens.py",
        "found is not None and found.session.user_id == caller.user_id:",
        "found is not None:",
        "tests/callers/test_access_tokens.py::test_token_for_the_session_of_another_user_is_refused",
    ),
    Ablation(
        "scopes that the client still has",
        "tokensvc/clients/service.py",
        "scopes=caller.scopes & scopes, limited_to=scopes)",
        "scopes=scopes, limited_to=scopes)",
        "tests/callers/test_access_tokens.py::test_token_of_a_service_loses_what_its_client_loses",
    ),
    Ablation(
        "only weaker clients are changed",
        "tokensvc/clients/administration.py",
        "rules.check_holds(found[client_id].rights, grantor)",
        "pass",
        "tests/clients/test_takeover.py::test_stronger_client_is_neither_changed_nor_deleted",
    ),
    Ablation(
        "no secret outlives its creator's",
        "tokensvc/clients/administration.py",
        "rights=rights, expires_at=secret.expires_at)",
        "rights=rights)",
        "tests/clients/test_takeover.py::test_secret_that_outlives_the_callers_is_refused",
    ),
    *SESSION_ABLATIONS,
    *ACCOUNT_ABLATIONS,
    *SIGN_IN_ABLATIONS,
    *RESTORE_ABLATIONS,
)
