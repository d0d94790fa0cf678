"""The lines that keep the promises about sessions and access tokens. See `ablations.py`."""

from testing.runs.ablation import Ablation

SESSION_ABLATIONS = (
    Ablation(
        "random key of a session",
        "tokensvc/sessions/service.py",
        "return family, secrets.token_bytes(FAMILY_KEY_BYTES)",
        "return family, bytes(FAMILY_KEY_BYTES)",
        "tests/sessions/test_service.py"
        "::test_token_made_without_the_random_key_of_the_session_is_refused[sqlite]",
    ),
    Ablation(
        "audience of access tokens",
        "tokensvc/sessions/access_tokens/tokens.py",
        "if claims.aud != self.issuer:",
        "if False:",
        "tests/callers/test_access_tokens.py"
        "::test_token_of_another_service_with_the_same_key_is_refused",
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
        "compare-and-swap: the epochs",
        "tokensvc/sessions/store.py",
        "        & _has_epochs\n    )\n    .values(",
        "    )\n    .values(",
        "tests/sessions/test_races.py::test_refresh_that_an_action_overtakes_is_refused[sqlite-revocation]",
    ),
    Ablation(
        "compare-and-swap: the end",
        "tokensvc/sessions/store.py",
        "        & _columns.ended_at.is_(None)\n        & _has_epochs\n    )\n    .values(",
        "        & _has_epochs\n    )\n    .values(",
        "tests/sessions/test_races.py::test_refresh_that_an_action_overtakes_is_refused[sqlite-end]",
    ),
    Ablation(
        "fixed window",
        "tokensvc/sessions/rules.py",
        "        return ReturnCurrent(family, from_elsewhere)\n",
        "        return Advance(replace(family, rotated_at=now), renews_address=False)\n",
        "tests/sessions/test_service.py"
        "::test_predecessor_gets_the_current_token_in_a_window_that_never_slides[sqlite]",
    ),
    Ablation(
        "immediate predecessor only",
        "tokensvc/sessions/rules.py",
        "    if behind > 1:\n",
        "    if behind > 1 and not in_window:\n",
        "tests/sessions/test_service.py"
        "::test_replay_ends_the_session_for_every_process_and_is_audited[sqlite-2-stale]",
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
        "the end of a replayed session before the refusal",
        "tokensvc/sessions/service.py",
        "            is_stored = store.replace_unchanged(partial(run, tx), seen, decision.family)",
        "            if isinstance(decision, EndReplayed):\n"
        '                raise invalid_grant("replayed")\n'
        "            is_stored = store.replace_unchanged(partial(run, tx), seen, decision.family)",
        "tests/sessions/test_processes.py"
        "::test_end_of_a_replayed_session_survives_a_crash_before_the_response[sqlite]",
    ),
    Ablation(
        "both lifetimes",
        "tokensvc/sessions/rules.py",
        "    if now >= family.created_at + settings.absolute_ttl:\n        return Cause.EXPIRED\n",
        "",
        "tests/sessions/test_service.py::test_session_ends_after_its_lifetimes"
        f"[sqlite-{29 * 86400}-expired]",
    ),
    Ablation(
        "both lifetimes, while it is not used",
        "tokensvc/sessions/rules.py",
        "    if now >= family.last_used_at + settings.idle_ttl:\n        return Cause.IDLE\n",
        "",
        "tests/sessions/test_service.py::test_session_ends_after_its_lifetimes"
        f"[sqlite-{30 * 86400}-idle]",
    ),
    Ablation(
        "the client of a session",
        "tokensvc/sessions/rules.py",
        "if client_id != family.client_id:",
        "if False:",
        "tests/sessions/test_service.py::test_token_of_another_client_changes_nothing[sqlite]",
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
        "the MAC",
        "tokensvc/sessions/family_reads.py",
        "if not is_genuine:",
        "if False:",
        "tests/sessions/test_service.py::test_forged_token_changes_nothing[sqlite]",
    ),
    Ablation(
        "verified again after a change of the ring",
        "tokensvc/sessions/access_tokens/tokens.py",
        "if token.ring_version != ring_version:",
        "if False:",
        "tests/callers/test_access_tokens.py::test_retired_key_verifies_nothing_at_any_worker",
    ),
    Ablation(
        "published before it signs",
        "tokensvc/sessions/access_tokens/rules.py",
        "periods.publication + MARGIN_SECONDS, now",
        "0, now",
        "tests/sessions/access_tokens/test_signing_keys.py::test_key_is_published_before_it_signs_and_after[sqlite]",
    ),
    Ablation(
        "published until its last token has expired",
        "tokensvc/sessions/access_tokens/rules.py",
        "periods.verification + MARGIN_SECONDS, now",
        "0, now",
        "tests/sessions/access_tokens/test_signing_keys.py::test_key_is_published_before_it_signs_and_after[sqlite]",
    ),
    Ablation(
        "one rotation at a time",
        "tokensvc/sessions/access_tokens/rotation.py",
        "        with self._database.write() as tx:\n            ring_versions.lock(tx)\n",
        "        with self._database.write() as tx:\n",
        "tests/sessions/access_tokens/test_races.py"
        "::test_simultaneous_rotations_make_activate_and_retire_each_key_once[postgresql]",
    ),
)
