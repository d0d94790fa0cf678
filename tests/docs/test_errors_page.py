"""The tables of `docs/errors.md` equal the code."""

import re

from testing.service import ROOT
from tokensvc.core.errors import Code, OAuthError
from tokensvc.http.problems import STATUS_AND_TITLE

PAGE = (ROOT / "docs" / "errors.md").read_text()


def test_table_of_codes_equals_the_code():
    """Each code has its status and advice, in the order of the code."""
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert [(int(status), Code(code)) for status, code, _ in rows] == [
        (status, code) for code, (status, _) in STATUS_AND_TITLE.items()
    ]
    assert all(advice.endswith(".") for _, _, advice in rows)


def test_table_of_oauth_errors_equals_the_code():
    rows = re.findall(r"^\| `(\w+)` \| \d{3}(?:, \d{3})* \| (.+) \|$", PAGE, re.MULTILINE)
    assert [error for error, _ in rows] == list(OAuthError)
    assert all(advice.endswith(".") for _, advice in rows)
