"""The lines that keep the promises, how each is removed, and the test that fails without it."""

from testing.runs.ablation import Ablation
from testing.runs.account_ablations import ACCOUNT_ABLATIONS
from testing.runs.restore_ablations import RESTORE_ABLATIONS
from testing.runs.revocation_ablations import REVOCATION_ABLATIONS
from testing.runs.session_ablations import SESSION_ABLATIONS
from testing.runs.sign_in_ablations import SIGN_IN_ABLATIONS

ABLATIONS = (
    *REVOCATION_ABLATIONS,
    Ablation(
        "append-only trail",
        "tokensvc/database/migrations/versions/0015_schema.py",
        "BEFORE UPDATE OR DELETE ON audit_events",
        "BEFORE DELETE ON audit_events",
        "tests/audit/test_trail.py::test_database_refuses_to_change_or_delete_an_event[postgresql-updated]",
    ),
    Ablation(
        "append-only trail, emptied",
        "tokensvc/database/migrations/versions/0015_schema.py",
        "BEFORE TRUNCATE ON audit_events",
        "BEFORE TRUNCATE ON deliveries",
        "tests/audit/test_trail.py::test_database_refuses_to_change_or_delete_an_event[postgresql-emptied]",
    ),
    Ablation(
        "append-only trail, replaced",
        "tokensvc/database/migrations/versions/0015_schema.py",
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
        "tokensvc/stream/delivery/queue_store.py",
        "return (*is_in(queue), _columns.due_at <= now, is_free)",
        "return (*is_in(queue), _columns.due_at <= now, is_free | sa.true())",
        "tests/stream/delivery/test_store.py::test_due_rows_are_open_and_not_leased",
    ),
    Ablation(
        "a lease is its holder's",
        "tokensvc/stream/delivery/rules.py",
        "if row.lease_until != leased.lease_until:",
        "if row.lease_until != leased.lease_until and not row.subject:",
        "tests/stream/delivery/test_failures.py::test_suspended_sender_does_not_win",
    ),
    Ablation(
        "a lease that ran out was a lost call",
        "tokensvc/stream/delivery/rules.py",
        "resend_at=resend_time(now) if lost else row.resend_at",
        "resend_at=row.resend_at",
        "tests/stream/delivery/test_rules.py::test_expired_lease_is_a_lost_call",
    ),
    Ablation(
        "resend_at",
        "tokensvc/stream/delivery/rules.py",
        "if row.resend_at is not None and leased_at < row.resend_at:",
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
        "a version never repeats",
        "tokensvc/standing/ring_versions.py",
        "ring_id: secrets.token_hex(16)",
        'ring_id: ""',
        "tests/stream/keys/test_ring.py"
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
        "scopes=rights.scopes & scopes,",
        "scopes=scopes,",
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
        "tokensvc/clients/grantors.py",
        "rights=rights, expires_at=secret.expires_at)",
        "rights=rights)",
        "tests/clients/test_takeover.py::test_secret_that_outlives_the_callers_is_refused",
    ),
    Ablation(
        "longest token",
        "tokensvc/issuers/verify.py",
        "MAX_TOKEN_LENGTH = 8192",
        "MAX_TOKEN_LENGTH = 9000",
        "tests/security/test_idp_forms.py::test_token_over_8_kib_is_refused",
    ),
    Ablation(
        "the time in the queue counts",
        "tokensvc/server/loop.py",
        "deadline.begin(connection.received_at)",
        "deadline.begin(time.monotonic())",
        "tests/server/test_loop.py::test_time_in_the_queue_counts_for_the_deadline",
    ),
    Ablation(
        "time to read a response",
        "tokensvc/server/connections.py",
        "WaitList(SEND_SECONDS)",
        "WaitList(1e6)",
        "tests/server/test_loop.py::test_client_that_does_not_read_is_dropped",
    ),
    *SESSION_ABLATIONS,
    *ACCOUNT_ABLATIONS,
    *SIGN_IN_ABLATIONS,
    *RESTORE_ABLATIONS,
)
