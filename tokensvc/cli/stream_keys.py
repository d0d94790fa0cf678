"""`tokensvc stream-keys`: which keys sign, from the first to the last day of each."""

import click
import msgspec
from msgspec import UNSET

from tokensvc.cli.actions import action_options
from tokensvc.cli.output import at, json_option, write_facts, write_json, write_table
from tokensvc.cli.session import opened_services, read_secret
from tokensvc.core.actions import ActionContext
from tokensvc.keys.routes import StreamKeyActionResult, action_result
from tokensvc.keys.rules import StreamKeyInfo

_ALL = 10_000


@click.group("stream-keys")
def stream_keys() -> None:
    """
    List, add, activate and retire the keys that sign tokens.

    To change keys without a gap: add the new one, ship clients that name it, activate it, ship the
    last clients, retire the old one. These commands work even where the service does not start
    because of its Stream keys; where an encryption key is missing, `add` and `activate` say so and
    stop, unless it is said that it is lost.
    """


_lost_keys_option = click.option(
    "--without-lost-keys",
    is_flag=True,
    help="Go on though a secret of the ring cannot be read any more: its encryption key is lost.",
)


@stream_keys.command("list")
@json_option
def list_keys(*, as_json: bool) -> None:
    """List all keys, newest first; no secret."""
    with opened_services(with_keys=False) as services:
        found = services.rotation.page(after=None, limit=_ALL)
    if as_json:
        write_json(msgspec.to_builtins(found))
    elif found:
        write_table(
            ("ID", "API KEY", "STATE", "FINGERPRINT", "ADDED", "ACTIVATED", "RETIRED"),
            [
                (
                    key.id,
                    key.api_key,
                    key.state,
                    key.fingerprint,
                    at(key.created_at),
                    at(key.activated_at),
                    at(key.retired_at),
                )
                for key in found
            ],
        )
    else:
        click.echo("No key yet: tokensvc stream-keys add API_KEY")


@stream_keys.command("add")
@click.argument("api_key")
@click.option("--check", is_flag=True, help="Let Stream prove the pair first.")
@_lost_keys_option
@action_options
@json_option
def add(
    api_key: str, *, check: bool, without_lost_keys: bool, context: ActionContext, as_json: bool
) -> None:
    """
    Add API_KEY as standby; its secret is read from standard input.

    It signs for clients that name it. With --check Stream must accept the pair, and it must be of
    the same Stream app as the others.

    With --without-lost-keys a pair of the ring whose secret cannot be read any more gets it back,
    and stays in its state. Any other pair is added; activate it with the same option, then retire
    the keys that are lost.
    """
    secret = read_secret("Stream secret").encode("utf-8")
    restored = None
    with opened_services(with_keys=False) as services:
        if without_lost_keys:
            restored = services.rotation.restore(api_key, secret, context, check=check)
        else:
            services.keys.check_covered()
        key = restored or services.rotation.add(api_key, secret, context, check=check)
    if as_json:
        facts = msgspec.structs.asdict(key)
        write_json(_plain(StreamKeyActionResult(**facts, dry_run=context.dry_run or UNSET)))
        return
    if restored is not None:
        click.echo("Would restore a key:" if context.dry_run else "Restored a key:")
        _tell(restored)
        return
    click.echo("Would add a key:" if context.dry_run else "Added a key:")
    _tell(key)
    if not context.dry_run:
        click.echo(f"Let it sign for everybody with: tokensvc stream-keys activate {key.id}")


@stream_keys.command("activate")
@click.argument("key_id")
@_lost_keys_option
@action_options
@json_option
def activate(
    key_id: str, *, without_lost_keys: bool, context: ActionContext, as_json: bool
) -> None:
    """
    Let the key KEY_ID sign for callers that name none.

    The former active key is retiring then, and still signs for clients that name it. An older
    secret of the same API key is retired.
    """
    with opened_services(with_keys=False) as services:
        if not without_lost_keys:
            services.keys.check_covered()
        act = action_result(services.rotation.activate(key_id, context), context)
    _tell_act(act, as_json=as_json)


@stream_keys.command("retire")
@click.argument("key_id")
@action_options
@json_option
def retire(key_id: str, *, context: ActionContext, as_json: bool) -> None:
    """End the key KEY_ID and erase its secret. This cannot be undone."""
    with opened_services(with_keys=False) as services:
        act = action_result(services.rotation.retire(key_id, context), context)
    _tell_act(act, as_json=as_json)


def _tell_act(act: StreamKeyActionResult, *, as_json: bool) -> None:
    if as_json:
        write_json(_plain(act))
        return
    if act.dry_run:
        click.echo("Nothing was done. It would be:")
    _tell(act)
    for other in act.also_changed or []:
        click.echo("and with it:")
        _tell(other)
    if act.warning:
        click.echo(act.warning, err=True)


def _tell(key: StreamKeyInfo) -> None:
    write_facts(
        [
            ("id", key.id),
            ("api key", key.api_key),
            ("state", key.state),
            ("fingerprint", key.fingerprint),
        ]
    )


def _plain(act: StreamKeyActionResult) -> object:
    return msgspec.to_builtins(act)
