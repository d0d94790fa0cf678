"""The lines that keep the promises about built-in accounts. See `ablations.py`."""

from testing.runs.ablation import Ablation

ACCOUNT_ABLATIONS = (
    Ablation(
        "users of Stream",
        "tokensvc/accounts/service.py",
        "self._stream_users.has(user_id)",
        "False",
        "tests/accounts/test_sign_up.py::test_user_of_stream_is_not_taken_over",
    ),
    Ablation(
        "one account per user ID",
        "tokensvc/accounts/service.py",
        "        if not store.insert(tx, account):\n            raise _taken()\n",
        "        store.insert(tx, account)\n",
        "tests/accounts/test_sign_up.py"
        "::test_two_sign_ups_of_one_user_id_create_one_account[postgresql]",
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
        "recent sign-in before a deletion",
        "tokensvc/accounts/service.py",
        "        rules.check_recent_sign_in(signed_in_at, self._uses.database_clock())\n",
        "",
        "tests/accounts/test_deletion.py"
        "::test_user_deletes_the_account_only_after_a_recent_sign_in[sqlite]",
    ),
)
