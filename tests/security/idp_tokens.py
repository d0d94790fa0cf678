"""What the tests of hostile tokens say often."""

import json
from typing import Any

from testing.doubles.issuer import IssuerDouble
from tests.issuers.refusals import refused
from tokensvc.core.errors import Code
from tokensvc.issuers.service import Issuers


def assert_invalid(issuers: Issuers, token: str) -> None:
    """Hold that a token is answered with 401 and a reason."""
    refusal = refused(issuers, token)
    assert refusal.code is Code.CREDENTIALS_INVALID
    assert refusal.detail


def with_payload(idp: IssuerDouble, text: str | bytes) -> str:
    """Sign a payload that no library would write."""
    return idp.sign(text if isinstance(text, bytes) else text.encode())


def payload_with(idp: IssuerDouble, extra: str, **changes: Any) -> str:
    """Sign good claims with a piece of JSON put at the end."""
    return with_payload(idp, f"{json.dumps(idp.claims(**changes))[:-1]},{extra}}}")
