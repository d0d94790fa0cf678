"""The lines that keep the promises, how each is removed, and the test that fails without it."""

from testing.runs.ablation import Ablation

_FETCH = "fetch_clocked(self._database, self._clock, _STANDING, values)"
_READ = f"(row, *_), now = {_FETCH}"
_REMEMBERED = (
    'known = self.__dict__.setdefault("known", {})\n'
    "        if user_id not in known:\n"
    f"            known[user_id] = {_FETCH}\n"
    "        (row, *_), now = known[user_id]"
)

ABLATIONS = (
    Ablation(
        "strict read",
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
        "floor",
        "tokensvc/standing/rules.py",
        "return max(standing.now - skew, standing.floor)",
        "return standing.now - skew",
        "tests/revocations/test_rules.py::test_token_of_a_read_after_the_commit_is_accepted_by_stream",
    ),
    Ablation(
        "clock after the commit",
        "tokensvc/revocations/service.py",
        "if has_passed(cut_off, now):",
        "if has_passed(cut_off, revocation.created_at):",
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
        "same transaction: the delivery",
        "tokensvc/revocations/service.py",
        "standings.write(tx, target, replace(standing, tokens_valid_after=cut_off))\n",
        "standings.write(tx, target, replace(standing, tokens_valid_after=cut_off))\n"
        '    tx.commit(), tx.exec_driver_sql("BEGIN")\n',
        "tests/revocations/test_cut_off.py::test_action_is_atomic[sqlite-suspend-deliveries]",
    ),
    Ablation(
        "append-only trail",
        "tokensvc/database/migrations/versions/0015_schema.py",
        "BEFORE UPDATE OR DELETE ON audit_events",
        "BEFORE DELETE ON audit_events",
        "tests/audit/test_trail.py::test_database_refuses_to_change_or_delete_an_event[postgresql-updated]",
    ),
    Ablation(
        "a suspension stops a vouching client",
        "tokensvc/callers/rules.py",
        "if standing.suspended:",
        "if standing.suspended and not getattr(caller, 'vouches', False):",
        "tests/revocations/test_routes.py::test_suspended_user_gets_no_token",
    ),
    Ablation(
        "resend_at",
        "tokensvc/stream/delivery/rules.py",
        "if row.kind not in REACH and row.resend_at is not None and leased_at < row.resend_at:",
        "if row.resend_at is None and leased_at < 0:",
        "tests/stream/delivery/test_failures.py::test_state_is_resent_twice_after_a_lost_response",
    ),
    Ablation(
        "the ring of the moment",
        "tokensvc/tokens/service.py",
        "self._keys.ring_at(standing.ring_version)",
        "self._keys._ring or self._keys.current_ring()",
        "tests/stream/keys/test_races.py::test_no_token_is_signed_with_a_key_after_the_response_to_retire",
    ),
    Ablation(
        "any other version of the ring",
        "tokensvc/stream/keys/ring.py",
        "ring is not None and ring.version == version:",
        "ring is not None and ring.version >= version:",
        "tests/stream/keys/test_database_set_back.py::test_only_keys_of_the_restored_database_sign",
    ),
    Ablation(
        "compare-and-swap: the counter",
        "tokensvc/sessions/store.py",
        '        & (_columns.counter == sa.bindparam("seen_counter"))\n',
        "",
        "tests/sessions/test_processes.py"
        "::test_session_has_one_next_token_whoever_presents_one_at_the_same_moment[postgresql]",
    ),
    Ablation(
        "the end of a replayed session before the refusal",
        "tokensvc/sessions/service.py",
        "return self._end_replayed(seen, decision, now)",
        'raise invalid_grant("replayed")',
        "tests/sessions/test_processes.py"
        "::test_end_of_a_replayed_session_survives_a_crash_before_the_response[sqlite]",
    ),
    Ablation(
        "predecessor from another network",
        "tokensvc/sessions/rules.py",
        "elif from_elsewhere and family.confirmed_counter == family.counter:",
        "elif False:",
        "tests/sessions/test_networks.py"
        "::test_predecessor_from_another_network_ends_the_session_once_its_successor_was_used[sqlite]",
    ),
    Ablation(
        "every action raises the epoch",
        "tokensvc/revocations/service.py",
        "epoch=standing.epoch + 1",
        "epoch=standing.epoch",
        "tests/sessions/test_processes.py"
        "::test_no_refresh_succeeds_after_the_response_to_an_action[sqlite-password change]",
    ),
    Ablation(
        "users of Stream",
        "tokensvc/accounts/service.py",
        "self._stream_has(user_id)",
        "False",
        "tests/accounts/test_sign_up.py::test_user_of_stream_is_not_taken_over",
    ),
    Ablation(
        "one use of a code",
        "tokensvc/accounts/codes.py",
        "if account is None or not store.use_code(tx, CodeKind.RESET, code_hash, now):",
        "if account is None:",
        "tests/accounts/test_codes.py"
        "::test_two_resets_at_the_same_time_set_one_password[postgresql-True]",
    ),
    Ablation(
        "failure counted before the hash",
        "tokensvc/sign_in/attempts.py",
        "lock_outs.write(tx, attempt.counter_key, counter, of_account=has_account)",
        "pass",
        "tests/sign_in/test_attempts.py::test_failures_delay_the_next_attempt[sqlite-ada]",
    ),
    Ablation(
        "attempts at known addresses",
        "tokensvc/sign_in/rules.py",
        "if attempt.wait and not attempt.is_known:",
        "if attempt.wait:",
        "tests/sign_in/test_attempts.py"
        "::test_failures_from_elsewhere_neither_delay_nor_stop_the_user[sqlite]",
    ),
    Ablation(
        "hash for an unknown user",
        "tokensvc/accounts/passwords/hashing.py",
        "return self._pool.run(partial(verify_hash, usable, password))",
        "return stored is not None and self._pool.run(partial(verify_hash, usable, password))",
        "tests/sign_in/test_work.py::test_every_refused_sign_in_makes_the_same_calls[sqlite]",
    ),
    Ablation(
        "epochs from before the password",
        "tokensvc/sign_in/attempts.py",
        "if found.epochs != attempt.epochs:",
        "if False:",
        "tests/sign_in/test_attempts.py"
        "::test_action_while_the_password_is_hashed_refuses_the_sign_in[sqlite-user]",
    ),
    Ablation(
        "only weaker clients are changed",
        "tokensvc/clients/administration.py",
        "rules.check_holds(found[client_id].rights, administrator)",
        "pass",
        "tests/clients/test_takeover.py::test_stronger_client_is_neither_changed_nor_deleted",
    ),
    Ablation(
        "sessions end with a restore",
        "tokensvc/recovery/service.py",
        "replace(standing, epoch=standing.epoch + 1)",
        "replace(standing, epoch=standing.epoch)",
        "tests/recovery/test_restore_proof.py::test_what_was_refused_is_refused_after_a_restore",
    ),
)
