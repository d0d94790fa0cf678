"""Authentication of a token as it was sent, and its refusal."""

import pytest

from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Refusal
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.verify import parse


def authenticate(issuers: Issuers, token: str) -> UserCaller:
    """Return the user of a token."""
    return issuers.authenticate(parse(token))


def refused(issuers: Issuers, token: str) -> Refusal:
    """Return the refusal of a token."""
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, token)
    return caught.value
