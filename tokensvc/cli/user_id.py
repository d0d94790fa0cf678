"""`tokensvc user-id`: convert identity providers' subjects to user IDs, and back."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

import click

from tokensvc.cli.printer import json_option, print_item, print_note, quoted, with_progress
from tokensvc.cli.session import STDIN, command_settings
from tokensvc.config.loader import Settings
from tokensvc.core import user_ids
from tokensvc.core.errors import Refusal
from tokensvc.core.user_ids import Mapping
from tokensvc.issuers.settings import IssuerSettings

_Converted: TypeAlias = tuple[dict[str, Any], list[str], str | None]
"""A result for `--json`, its lines for people, and the error."""


@click.group("user-id", short_help="Convert subjects to user IDs and back.")
def user_id() -> None:
    """Convert between a provider's subjects and Stream user IDs."""


@user_id.command("encode", short_help="Print the user IDs of a provider's subjects.")
@click.option("--issuer", "issuer_name", required=True, help="Name of the issuer in the settings.")
@click.argument("subjects", metavar="SUBJECT...", nargs=-1, required=True)
@json_option
def encode(issuer_name: str, subjects: tuple[str, ...], *, as_json: bool) -> None:
    """
    Print the user ID of each SUBJECT, a value of the issuer's user ID claim, in this order.

    With "-", subjects are read from standard input, one per line. If a subject has no user ID, its
    printed line is empty, the reason goes to standard error, and the exit status is 1. With --json,
    each subject is one line of JSON.
    """
    settings = command_settings()
    convert = partial(_encode, settings, _issuer(settings, issuer_name))
    _print_each(subjects, convert, "subjects", as_json=as_json)


@user_id.command("decode", short_help="Print the issuers and subjects of user IDs.")
@click.argument("encoded", metavar="USER_ID...", nargs=-1, required=True)
@json_option
def decode(encoded: tuple[str, ...], *, as_json: bool) -> None:
    """
    Print the subject of each USER_ID for each issuer that it may come from.

    With "-", user IDs are read from standard input, one per line. If one cannot be converted, the
    reason goes to standard error, and the exit status is 1. With --json, each user ID is one line
    of JSON.
    """
    _print_each(encoded, partial(_decode, command_settings()), "user IDs", as_json=as_json)


def _print_each(
    arguments: Iterable[str],
    convert: Callable[[str], _Converted],
    noun: str,
    *,
    as_json: bool,
) -> None:
    """Print each conversion. Exit with status 1 if one has an error."""
    number = failed = 0
    for argument in with_progress(_each(arguments), noun):
        number += 1
        value, lines, error = convert(argument)
        print_item(value, lines, as_json=as_json)
        if error is not None:
            failed += 1
            print_note(error)
    if failed:
        raise click.ClickException(f"{failed} of {number} {noun} cannot be converted.")


def _each(arguments: Iterable[str]) -> Iterator[str]:
    """Yield the arguments, and instead of `-` the lines of standard input."""
    for argument in arguments:
        if argument != STDIN:
            yield argument
            continue
        for line in sys.stdin.buffer:
            text = line.removesuffix(b"\n").removesuffix(b"\r")
            yield text.decode("utf-8", "surrogateescape")  # what is not UTF-8 has no user ID


def _issuer(settings: Settings, name: str) -> IssuerSettings:
    issuer = next((one for one in settings.issuers if one.name == name), None)
    if issuer is None:
        known = ", ".join(one.name for one in settings.issuers) or "none"
        raise click.BadParameter(
            f"{name!r} is not configured. Configured issuers: {known}", param_hint="--issuer"
        )
    return issuer


def _encode(settings: Settings, issuer: IssuerSettings, subject: str) -> _Converted:
    found, error = None, None
    try:
        found = user_ids.map_subject(
            subject,
            mapping=issuer.user_id_mapping,
            prefix=issuer.user_id_prefix,
            issuer=issuer.issuer,
            alphabet=settings.user_ids.alphabet,
        )
    except Refusal as refusal:
        error = refusal.detail
    value = {"user_id": found, "issuer": issuer.name, "subject": subject, "error": error}
    return value, [found or ""], error and f"{quoted(subject)}: {error}"


def _decode(settings: Settings, encoded: str) -> _Converted:
    found, error = [], None
    try:
        user_ids.check(encoded, settings.user_ids.alphabet)
        found = [
            (issuer.name, *_subject(issuer, encoded))
            for issuer in settings.issuers
            if encoded.startswith(issuer.user_id_prefix)
        ]
        if not found:
            error = f"{encoded} does not begin with the prefix of any issuer."
        elif all(subject is None for _, subject, _ in found):
            error = f"{encoded} cannot be converted to a subject."
    except Refusal as refusal:
        error = f"{quoted(encoded)}: {refusal.detail}"
    candidates = [{"issuer": one[0], "subject": one[1], "note": one[2]} for one in found]
    value = {"user_id": encoded, "candidates": candidates, "error": error}
    lines = [
        f"{encoded}  {issuer}: {note if subject is None else subject}"
        for issuer, subject, note in found
    ]
    return value, lines, error


def _subject(issuer: IssuerSettings, encoded: str) -> tuple[str | None, str]:
    """Return the subject, or the reason why it is unknown."""
    rest = encoded.removeprefix(issuer.user_id_prefix)
    match issuer.user_id_mapping:
        case Mapping.EXACT:
            return rest, ""
        case Mapping.HASH:
            return None, "its user IDs are hashes, which cannot be reversed"
        case Mapping.ESCAPE:
            try:
                return user_ids.unescape(rest), ""
            except ValueError:
                return None, "the escaping is not valid"
