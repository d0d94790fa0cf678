"""`tokensvc user-id`: convert identity providers' subjects to user IDs, and back."""

import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from tokensvc.cli.printer import json_option, print_item, print_note, quoted, with_progress
from tokensvc.cli.session import STDIN, command_settings
from tokensvc.config.loader import Settings
from tokensvc.core import user_ids
from tokensvc.core.errors import Refusal
from tokensvc.core.user_ids import Mapping
from tokensvc.issuers.settings import IssuerSettings


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
    issuer = _issuer(settings, issuer_name)
    number = failed = 0
    for subject in with_progress(_each(subjects), "subjects"):
        number += 1
        found, error = _user_id(issuer, subject, settings)
        value = {"user_id": found, "issuer": issuer.name, "subject": subject, "error": error}
        print_item(value, [found or ""], as_json=as_json)
        if error is not None:
            failed += 1
            print_note(f"{quoted(subject)}: {error}")
    _end(failed, f"{failed} of {number} subjects have no user ID.")


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
    settings = command_settings()
    number = failed = 0
    for one in with_progress(_each(encoded), "user IDs"):
        number += 1
        candidates, error = _candidates(settings, one)
        print_item(
            {
                "user_id": one,
                "candidates": [
                    {"issuer": issuer, "subject": subject, "note": note}
                    for issuer, subject, note in candidates
                ],
                "error": error,
            },
            [
                f"{one}  {issuer}: {note if subject is None else subject}"
                for issuer, subject, note in candidates
            ],
            as_json=as_json,
        )
        if error is not None:
            failed += 1
            print_note(error)
    _end(failed, f"{failed} of {number} user IDs cannot be converted.")


def _each(arguments: Iterable[str]) -> Iterator[str]:
    """Yield the arguments, and instead of `-` the lines of standard input."""
    for argument in arguments:
        if argument != STDIN:
            yield argument
            continue
        for line in sys.stdin.buffer:
            text = line.removesuffix(b"\n").removesuffix(b"\r")
            yield text.decode("utf-8", "surrogateescape")  # what is not UTF-8 has no user ID


def _end(failed: int, summary: str) -> None:
    """Exit with status 1 if a conversion failed."""
    if failed:
        raise click.ClickException(summary)


def _issuer(settings: Settings, name: str) -> IssuerSettings:
    issuer = next((one for one in settings.issuers if one.name == name), None)
    if issuer is None:
        known = ", ".join(one.name for one in settings.issuers) or "none"
        raise click.BadParameter(
            f"{name!r} is not configured. Configured issuers: {known}", param_hint="--issuer"
        )
    return issuer


def _user_id(
    issuer: IssuerSettings, subject: str, settings: Settings
) -> tuple[str | None, str | None]:
    """Return the user ID, or `None` and the reason."""
    try:
        found = user_ids.map_subject(
            subject,
            mapping=issuer.user_id_mapping,
            prefix=issuer.user_id_prefix,
            issuer=issuer.issuer,
            alphabet=settings.user_ids.alphabet,
        )
    except Refusal as refusal:
        return None, refusal.detail
    return found, None


def _candidates(
    settings: Settings, encoded: str
) -> tuple[Sequence[tuple[str, str | None, str]], str | None]:
    """Return each issuer with the subject or a note, and the error if no subject was found."""
    try:
        user_ids.check(encoded, settings.user_ids.alphabet)
    except Refusal as refusal:
        return [], f"{quoted(encoded)}: {refusal.detail}"
    found = [
        (issuer.name, *_subject(issuer, encoded))
        for issuer in settings.issuers
        if encoded.startswith(issuer.user_id_prefix)
    ]
    if not found:
        return [], f"{encoded} does not begin with the prefix of any issuer."
    if all(subject is None for _, subject, _ in found):
        return found, f"{encoded} cannot be converted to a subject."
    return found, None


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
