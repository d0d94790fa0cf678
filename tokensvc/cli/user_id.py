"""`tokensvc user-id`: from an identity provider's subject to the id on Stream, and back."""

import click

from tokensvc.cli.output import json_option, printable, write_json
from tokensvc.cli.session import load_settings
from tokensvc.core import user_ids
from tokensvc.core.user_ids import Mapping
from tokensvc.issuers.settings import IssuerSettings


@click.group("user-id", short_help="Translate subjects to Stream user ids and back.")
def user_id() -> None:
    """Translate between a provider's subjects and Stream's user ids."""


@user_id.command("encode", short_help="Give the user id of a provider's subject.")
@click.option("--issuer", "issuer_name", required=True, help="The issuer's name in the settings.")
@click.argument("subject")
@json_option
def encode(issuer_name: str, subject: str, *, as_json: bool) -> None:
    """Give the user id of SUBJECT, the value of the issuer's user id claim."""
    settings = load_settings()
    issuer = next((each for each in settings.issuers if each.name == issuer_name), None)
    if issuer is None:
        known = ", ".join(each.name for each in settings.issuers) or "none"
        raise click.BadParameter(
            f"no issuer is called {issuer_name!r}; there is: {known}", param_hint="--issuer"
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


@user_id.command("decode", short_help="Give the issuer and the subject of a user id.")
@click.argument("encoded", metavar="USER_ID")
@json_option
def decode(encoded: str, *, as_json: bool) -> None:
    """Give the issuer and the subject of USER_ID, for each issuer that it can be of."""
    settings = load_settings()
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
    if not any(subject is not None for _, subject, _ in found):
        why = "it cannot be undone" if found else "no issuer's prefix fits it"
        raise click.ClickException(f"There is no subject to give for {encoded}: {why}.")


def _subject(issuer: IssuerSettings, encoded: str) -> tuple[str | None, str]:
    """Give the subject, or why there is none to give."""
    rest = encoded.removeprefix(issuer.user_id_prefix)
    match issuer.user_id_mapping:
        case Mapping.EXACT:
            return rest, ""
        case Mapping.HASH:
            return None, "its ids are hashes, which cannot be undone"
        case Mapping.ESCAPE:
            try:
                return user_ids.unescape(rest), ""
            except ValueError:
                return None, "not an id that its escaping gives"
