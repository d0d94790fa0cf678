"""`tokensvc signing-keys`: the keys that sign access tokens."""

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.printer import Result, action_result, key_lines, member_table, prints_result
from tokensvc.cli.session import account_services, opened_key_services, opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.stream.keys.states import KeyState

_ALL = 10_000
"""Size of the page that holds all keys."""
_FACTS = ("id", "state", "fingerprint")
_NEXT = (
    "A running service activates it `sessions.jwks_max_age` seconds after it was made: by then "
    "every verifier knows it."
)


@click.group("signing-keys")
def signing_keys() -> None:
    """
    List, rotate and retire the keys that sign access tokens.

    The service rotates them by itself (`sessions.key_rotation`). If a key has leaked: rotate, wait
    until the new key is active, and retire the leaked one.
    """


@signing_keys.command("list")
@prints_result
def list_keys() -> Result:
    """List all keys without their secrets, newest first."""
    with opened_services(with_keys=False) as services:
        found = account_services(services).signing_rotation.page(after=None, limit=_ALL)
    columns = (*_FACTS, "created_at", "activated_at", "retiring_at", "retired_at")
    if_empty = "No key yet: the first start makes it."
    return Result(found, member_table(found, columns, if_empty=if_empty))


@signing_keys.command("rotate")
@click.option(
    "--without-lost-keys",
    is_flag=True,
    help="Replace keys that are unreadable: their encryption key is lost, or they are damaged.",
)
@action_options
@prints_result
def rotate(*, without_lost_keys: bool, context: ActionContext) -> Result:
    """
    Make the key that will sign next, or print it if it exists.

    A running service activates it when every verifier knows it. The previous key verifies until its
    last token has expired.

    With --without-lost-keys, unreadable keys are retired, and a new key is active immediately: a
    verifier with a cached key set refuses its tokens for up to `sessions.jwks_max_age` seconds.
    Sessions under a lost encryption key are deleted: their users must sign in again.
    """
    deleted = None
    with opened_key_services(keys_lost=without_lost_keys) as services:
        accounts = account_services(services)
        if without_lost_keys:
            result = accounts.signing_rotation.replace_unreadable(context)
            deleted = accounts.lost_family_keys.delete_sessions(context)
        else:
            accounts.signing_keys.check_encryption_keys()
            result = accounts.signing_rotation.rotate(context)
    lines = key_lines(result, _FACTS)
    if deleted is not None:
        lines.append(f"Deleted sessions whose encryption key is lost: {deleted}")
    if result.state is KeyState.STANDBY:
        lines.append(_NEXT)
    more = {} if deleted is None else {"deleted_sessions": deleted}
    return action_result(result, lines, more=more)


@signing_keys.command("retire")
@click.argument("key_id")
@action_options
@prints_result
def retire(key_id: str, *, context: ActionContext) -> Result:
    """
    Retire KEY_ID and erase its secret. This cannot be undone.

    Its access tokens are refused immediately; clients refresh them. An app that verifies tokens by
    the published keys accepts them until its cached copy is `sessions.jwks_max_age` seconds old.
    """
    with opened_services(with_keys=False) as services:
        result = account_services(services).signing_rotation.retire(key_id, context)
    return action_result(result, key_lines(result, _FACTS))
