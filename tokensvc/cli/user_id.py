"""`tokensvc user-id`: convert an identity provider's subject to a user ID, and back."""

import click

from tokensvc.cli.output import json_option, printable, write_json
from tokensvc.cli.session import command_settings
from tokensvc.core import user_ids
from tokensvc.core.user_ids import Mapping
from tokensvc.issuers.settings import IssuerSettings


@click.group("user-id", short_help="Convert subjects to user IDs and back.")
def user_id() -> None:
    """Convert between a provider's subjects and Stream user IDs."""


@user_id.command("encode", short_help="Print the user ID of a provider's subject.")
@click.option("--issuer", "issuer_name", required=True, help="Name of the issuer in the settings.")
@click.argument("subject")
@json_option
def encode(issuer_name: str, subject: str, *, as_json: bool) -> None:
    """Print the user ID of SUBJECT, the value of the issuer's user ID claim."""
    settings = command_settings()
    issuer = next((one for one in settings.issuers if one.name == issuer_name), None)
    if issuer is None:
        known = ", ".join(one.name for one in settings.issuers) or "none"
        raise click.BadParameter(
            f"{issuer_name!r} is not configured. Configured issuers: {known}", param_hint="--issuer"
        )
    found = user_ids.map_subject(
        subject,
        mapping=issuer.user_id_mapping,
        prefix=issuer.user_id_prefix,
        issuer=issuer.issuer,
        alphabet=settings.user_ids.alphabet,
    )
    if as_json:
        write_json({"user_id": found, "issuer": issuer.name, "subject": subject})
    else:
        click.echo(found)


@user_id.command("decode", short_help="Print the issuer and subject of a user ID.")
@click.argument("encoded", metavar="USER_ID")
@json_option
def decode(encoded: str, *, as_json: bool) -> None:
    """Print the subject of USER_ID for each issuer that it may come from."""
    settings = command_settings()
    user_ids.check(encoded, settings.user_ids.alphabet)
    candidates = [
        issuer for issuer in settings.issuers if encoded.startswith(issuer.user_id_prefix)
    ]
    found = [(issuer, *_subject(issuer, encoded)) for issuer in candidates]
    if as_json:
        write_json(
            [
                {"issuer": issuer.name, "subject": subject, "note": note}
                for issuer, subject, note in found
            ]
        )
    for issuer, subject, note in found if not as_json else []:
        click.echo(f"{issuer.name}: {printable(subject) if subject is not None else note}")
    if not found:
        raise click.ClickException(f"{encoded} does not begin with the prefix of any issuer.")
    if all(subject is None for _, subject, _ in found):
        raise click.ClickException(f"{encoded} cannot be converted to a subject.")


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
