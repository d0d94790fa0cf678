"""The check of a new password against the settings of this service."""

from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from tokensvc.accounts.passwords.rules import check_password
from tokensvc.core.errors import Code, Refusal

_SERVICE = "tokensvc"


CheckPassword: TypeAlias = Callable[[str, str], None]
"""`check_new_password` with the settings of the service."""


def check_new_password(min_length: int, public_url: str, password: str, user_id: str) -> None:
    """
    Refuse a new password that is common or not usable.

    Args:
        min_length: Minimum number of characters.
        public_url: URL of the service; a password must not contain its host.

    Raises:
        Refusal: `password_rejected`, with all reasons.
    """
    reasons = check_password(
        password,
        user_id=user_id,
        service_names=(_SERVICE, urlsplit(public_url).hostname or _SERVICE),
        min_length=min_length,
    )
    if reasons:
        raise Refusal(
            Code.PASSWORD_REJECTED,
            " ".join(reason.text for reason in reasons),
            members={"reasons": [reason.code.value for reason in reasons]},
        )
