"""`tokensvc stream-keys`: the keys that sign Stream tokens."""

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.printer import Result, action_result, key_lines, member_table, prints_result
from tokensvc.cli.session import opened_key_services, opened_services, read_secret
from tokensvc.core.actions import ActionContext

_ALL = 10_000
"""Size of the page that holds all keys."""
_FACTS = ("id", "api_key", "state", "fingerprint")


@click.group("stream-keys")
def stream_keys() -> None:
    """
    List, add, activate and retire the keys of Stream tokens.

    To change the key: add the new key, publish clients that name it, activate it, wait until no
    client uses the old key, and retire the old key.

    These commands also work if the service cannot start because of its Stream keys. If an
    encryption key is missing, `add` and `activate` stop, unless --without-lost-keys confirms that
    the encryption key is lost.
    """


_lost_keys_option = click.option(
    "--without-lost-keys",
    is_flag=True,
    help="Continue although secrets are unreadable: their encryption key is lost.",
)


_check_option = click.option(
    "--check/--no-check",
    default=True,
    help="Require that Stream accepts the key, as one of the same app. On by default.",
)


@stream_keys.command("list")
@prints_result
def list_keys() -> Result:
    """List all keys without their secrets, newest first."""
    with opened_services(with_keys=False) as services:
        found = services.stream.rotation.page(after=None, limit=_ALL)
    columns = (*_FACTS, "created_at", "activated_at", "retired_at")
    if_empty = "No key yet: tokensvc stream-keys add API_KEY"
    return Result(found, member_table(found, columns, if_empty=if_empty))


@stream_keys.command("add")
@click.argument("api_key")
@_check_option
@_lost_keys_option
@action_options
@prints_result
def add(api_key: str, *, check: bool, without_lost_keys: bool, context: ActionContext) -> Result:
    """
    Add API_KEY as standby. Read its secret from the terminal, or from standard input.

    A standby key signs only for clients that name it. Stream must accept the key, and it must
    belong to the same Stream app as the other keys; --no-check skips this. Stream is not called if
    `stream.delivery` is off.

    With --without-lost-keys, a key that is in the list already, but cannot be decrypted, gets its
    secret again and keeps its state. Any other key is added: activate it with the same option,
    then retire the lost keys.
    """
    secret = read_secret("Stream secret").encode("utf-8")
    restored = None
    with opened_key_services(keys_lost=without_lost_keys) as services:
        if without_lost_keys:
            restored = services.stream.rotation.restore(api_key, secret, context, check=check)
        else:
            services.stream.keys.check_encryption_keys()
        key = restored or services.stream.rotation.add(api_key, secret, context, check=check)
    lines = key_lines(key, _FACTS)
    if not context.dry_run:
        lines.insert(0, "Added key:" if restored is None else "Restored key:")
        if restored is None:
            lines.append(f"To sign for all clients: tokensvc stream-keys activate {key.id}")
    return action_result(key, lines)


@stream_keys.command("activate")
@click.argument("key_id")
@_check_option
@_lost_keys_option
@action_options
@prints_result
def activate(
    key_id: str, *, check: bool, without_lost_keys: bool, context: ActionContext
) -> Result:
    """
    Activate KEY_ID: it signs for clients that name no key.

    Stream must accept the key, as with `add`. The previous active key becomes retiring, and still
    signs for clients that name it. An older secret of the same API key is retired.
    """
    with opened_services(with_keys=False) as services:
        if not without_lost_keys:
            services.stream.keys.check_encryption_keys()
        result = services.stream.rotation.activate(key_id, context, check=check)
    return action_result(result, key_lines(result, _FACTS))


@stream_keys.command("retire")
@click.argument("key_id")
@action_options
@prints_result
def retire(key_id: str, *, context: ActionContext) -> Result:
    """Retire KEY_ID and erase its secret. This cannot be undone."""
    with opened_services(with_keys=False) as services:
        result = services.stream.rotation.retire(key_id, context)
    return action_result(result, key_lines(result, _FACTS))
