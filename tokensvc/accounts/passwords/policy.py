"""The check of a new password against the settings of this service."""

from urllib.parse import urlsplit

from tokensvc.accounts.passwords.rules import check_password
from tokensvc.core.errors import Code, Refusal

_SERVICE = "tokensvc"


class PasswordPolicy:
    """
    Accepts or refuses new passwords.

    Args:
        min_length: Minimum number of characters.
        public_url: URL of the service; a password must not contain its host.
    """

    def __init__(self, min_length: int, public_url: str) -> None:
        self._min_length = min_length
        self._service_names = (_SERVICE, urlsplit(public_url).hostname or _SERVICE)

    def check(self, password: str, user_id: str) -> None:
        """
        Refuse a new password that is common or not usable.

        Raises:
            Refusal: `password_rejected`, with all reasons.
        """
        reasons = check_password(
            password,
            user_id=user_id,
            service_names=self._service_names,
            min_length=self._min_length,
        )
        if reasons:
            raise Refusal(
                Code.PASSWORD_REJECTED,
                " ".join(reason.text for reason in reasons),
                members={"reasons": [reason.code.value for reason in reasons]},
            )
