"""The lines that keep the promises about sign-ins with a password. See `ablations.py`."""

from testing.runs.ablation import Ablation

SIGN_IN_ABLATIONS = (
    Ablation(
        "failure counted before the hash",
        "tokensvc/sign_in/attempts.py",
        "lock_outs.write(tx, attempt.counter_subject, counter, of_account=has_account)",
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
        "refusal at other addresses",
        "tokensvc/sign_in/rules.py",
        "if attempt.wait and not attempt.is_known:",
        "if False:",
        "tests/sign_in/test_attempts.py::test_known_address_is_one_of_this_account[sqlite]",
    ),
    Ablation(
        "hash for an unknown user",
        "tokensvc/accounts/passwords/hashing.py",
        "return self._pool.run(partial(verify_hash, usable, password))",
        "return stored is not None and self._pool.run(partial(verify_hash, usable, password))",
        "tests/sign_in/test_work.py"
        "::test_every_refused_sign_in_makes_the_same_calls[sqlite]",
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
        "lock during a password change",
        "tokensvc/sign_in/attempts.py",
        "        standings.lock(tx, Target(attempt.user_id))\n",
        "",
        "tests/sign_in/test_password_sessions.py"
        "::test_suspension_after_the_comparison_of_the_epochs_ends_the_new_session[postgresql]",
    ),
)
