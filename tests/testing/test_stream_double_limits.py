"""Stream's rate limits: by endpoint and platform, in a minute and in a second."""

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import GOOD, NOW, call, sign

SERVER = sign({"server": True})
CHANGE = {"method": "PATCH", "path": "/users", "body": {"users": [{"id": "john", "set": {}}]}}
A_SECOND, A_MINUTE = 10, 300
MINUTE_START = NOW // 60 * 60


def codes(stream: StreamDouble, number: int) -> list[int]:
    """Return the status of each of some calls that change a user."""
    return [call(stream, SERVER, **CHANGE).status for _ in range(number)]


def test_second_allows_a_thirtieth_of_a_minute(stream: StreamDouble) -> None:
    stream.app.users["john"] = {"id": "john"}
    assert codes(stream, A_SECOND + 2) == [200] * A_SECOND + [429] * 2
    stream.clock.frozen_at = NOW + 1
    assert codes(stream, 1) == [200]


def test_headers_count_a_minute_until_its_end(stream: StreamDouble) -> None:
    stream.app.users["john"] = {"id": "john"}
    for second in range(A_MINUTE // A_SECOND):
        stream.clock.frozen_at = MINUTE_START + second
        assert codes(stream, A_SECOND) == [200] * A_SECOND
    stream.clock.frozen_at = MINUTE_START + 59
    refused = call(stream, SERVER, **CHANGE)
    assert refused.status == 429
    assert refused.json()["code"] == 9
    assert refused.headers["X-RateLimit-Limit"] == str(A_MINUTE)
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["X-RateLimit-Reset"] == str(MINUTE_START + 60)
    stream.clock.frozen_at = MINUTE_START + 60
    allowed = call(stream, SERVER, **CHANGE)
    assert allowed.headers["X-RateLimit-Remaining"] == str(A_MINUTE - 1)


def test_other_endpoints_and_clients_have_limits_of_their_own(stream: StreamDouble) -> None:
    stream.app.users["john"] = {"id": "john"}
    codes(stream, A_SECOND)
    assert call(stream, SERVER).status == 200
    assert call(stream, sign(GOOD), **CHANGE).status == 200
    assert codes(stream, 1) == [429]
