"""Expecting a refusal."""

import pytest

from tokensvc.core.errors import Refusal
from tokensvc.issuers.service import Issuers


def refused(issuers: Issuers, token: str) -> Refusal:
    """Return the refusal of a token."""
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(token)
    return caught.value
