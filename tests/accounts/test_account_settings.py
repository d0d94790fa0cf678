"""Settings of accounts: the defaults are the safe ones, and no value makes passwords weak."""

import pytest
from pydantic import ValidationError

from tokensvc.accounts.passwords.rules import MAX_LENGTH
from tokensvc.accounts.settings import AccountSettings


def test_sign_up_is_closed_by_default():
    settings = AccountSettings()
    assert settings.sign_up == "closed"
    assert settings.min_password == 15


@pytest.mark.parametrize("length", [0, 7, MAX_LENGTH])
def test_minimum_length_that_is_weak_or_cannot_be_met_is_refused(length):
    with pytest.raises(ValidationError):
        AccountSettings(min_password=length)
