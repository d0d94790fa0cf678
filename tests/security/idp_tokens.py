"""Helpers of the tests of hostile tokens."""

import json
from typing import Any

from testing.doubles.issuer import IssuerDouble
from tests.issuers.refusals import refused
from tokensvc.core.errors import Code
from tokensvc.issuers.service import Issuers


def assert_invalid(issuers: Issuers, token: str) -> None:
    """Check that a token gets `credentials_invalid` with a detail."""
    refusal = refused(issuers, token)
    assert refusal.code is Code.CREDENTIALS_INVALID
    assert refusal.detail


def with_payload(idp: IssuerDouble, text: str | bytes) -> str:
    """Sign any payload."""
    return idp.sign(text if isinstance(text, bytes) else text.encode())


def payload_with(idp: IssuerDouble, extra: str, **changes: Any) -> str:
    """Sign valid claims with additional JSON at the end."""
    return with_payload(idp, f"{json.dumps(idp.claims(**changes))[:-1]},{extra}}}")
