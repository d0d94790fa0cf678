"""Read the session of a refresh token, and verify that the service made the token."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.refresh_tokens import PresentedToken
from tokensvc.sessions.rules import Family
from tokensvc.sessions.store import SessionStanding, family_in
from tokensvc.vault.vault import Vault, VaultError


@dataclass(frozen=True, slots=True)
class FamilyRead:
    """
    The session of a token that the service made.

    Attributes:
        found: The row, and the standings at that moment.
        family: The session in the row.
        key: Family key.
    """

    found: SessionStanding
    family: Family
    key: bytes = field(repr=False)


def read_family(
    read_session: Callable[[str], SessionStanding | None],
    vault: Vault,
    decoy: tuple[str, str],
    presented: PresentedToken,
) -> FamilyRead:
    """
    Return the session of a verified token, open or not.

    A token of no session takes the same work as a forged one of a session: the time of the refusal
    does not show which IDs of sessions exist.

    Args:
        decoy: Any encrypted family key, with the fingerprint of its encryption key.

    Raises:
        Refusal: That of `invalid_grant`; `temporarily_unavailable` if this process cannot read the
            family key.
    """
    found = read_session(presented.family_id.hex())
    row = None if found is None else found.session
    encrypted = decoy if row is None else (row.family_key_ciphertext, row.encrypted_with)
    key = _decrypted(vault, *encrypted)
    is_genuine = refresh_tokens.verify(presented, key)
    if found is None:
        raise invalid_grant("unknown_family")
    if not is_genuine:
        raise invalid_grant("forged")
    return FamilyRead(found, family_in(found.session), key)


def _decrypted(vault: Vault, ciphertext: str, encrypted_with: str) -> bytes:
    try:
        return vault.decrypt(ciphertext)
    except VaultError as error:
        raise Refusal(
            Code.TEMPORARILY_UNAVAILABLE,
            "The service cannot read the key of this session. Contact the operator.",
            reason=f"family key under encryption key {encrypted_with}: {error}",
            retry_after=30,
        ) from error


def parse(unverified: str) -> PresentedToken:
    """
    Return the parts of a refresh token.

    Raises:
        Refusal: That of `invalid_grant`: the text has another form or checksum.
    """
    presented = refresh_tokens.parse(unverified)
    if presented is None:
        raise invalid_grant("malformed")
    return presented


def invalid_grant(reason: str) -> Refusal:
    """Return the one refusal for every token without access: the client learns no cause."""
    return Refusal(
        Code.CREDENTIALS_INVALID,
        "The refresh token is invalid, expired or revoked. Sign the user in again.",
        reason=reason,
        oauth_error=OAuthError.INVALID_GRANT,
    )
