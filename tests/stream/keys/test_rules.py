"""The key that signs for a client."""

import pytest

from tokensvc.standing.rules import RingVersion
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.keys.states import KeyState

RING_VERSION = RingVersion(1, "a")


def key(api_key, state, secret=b"s" * 32):
    return StreamKey(api_key, secret, KeyState(state))


@pytest.mark.parametrize(
    "states, named",
    [
        ([("k1", "active")], {"k1": 0, "k2": None, "": None}),
        ([("k2", "standby"), ("k1", "active")], {"k1": 1, "k2": 0}),
        ([("k1", "standby"), ("k1", "active")], {"k1": 1}),
        ([("k1", "standby"), ("k1", "retiring")], {"k1": 0}),
        ([("k2", "active"), ("k1", "retiring")], {"k1": 1, "k2": 0}),
        ([], {"k1": None}),
    ],
)
def test_named_key_is_the_active_one_else_the_newest(states, named):
    keys = [key(*state) for state in states]
    ring = StreamKeyRing(RING_VERSION, keys)
    for api_key, place in named.items():
        assert ring.named(api_key) is (None if place is None else keys[place])


@pytest.mark.sec(25)
def test_repr_contains_no_secret():
    stream_key = key("k1", "active", b"secret-of-stream-0123456789abcdef")
    for shown in (stream_key, StreamKeyRing(RING_VERSION, [stream_key])):
        assert "secret-of-stream" not in repr(shown)
