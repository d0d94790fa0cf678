"""Settings of sessions: the documented defaults, and the bounds of the reuse window."""

import pytest
from pydantic import ValidationError

from tokensvc.sessions.settings import SessionSettings


def test_defaults_are_the_documented_ones():
    assert SessionSettings().model_dump() == {
        "access_ttl": 10 * 60,
        "reuse_grace": 30,
        "absolute_ttl": 90 * 86400,
        "idle_ttl": 30 * 86400,
        "key_rotation": 90 * 86400,
        "jwks_max_age": 300,
        "end_renews": False,
    }


@pytest.mark.parametrize("seconds", [0, 301])
def test_reuse_window_is_bounded(seconds):
    """Without one, two tabs end their session; with a long one, a thief has time."""
    with pytest.raises(ValidationError):
        SessionSettings(reuse_grace=seconds)
