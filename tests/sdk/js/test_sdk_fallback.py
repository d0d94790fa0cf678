"""Without WebSockets the SDK uses long polling, if its option is spelt correctly."""

import json

import pytest

from testing.doubles.stream import StreamDouble
from testing.sdk_driver import SdkError
from tests.sdk.js.chat_client import ChatClient

pytestmark = pytest.mark.slow


def test_long_polling_replaces_a_failed_websocket(chat: ChatClient, stream: StreamDouble) -> None:
    """`enableWSFallback`: events arrive, and an expired token is replaced."""
    stream.faults.refuse("GET /connect", times=None)
    chat.make(enableWSFallback=True)
    chat.sign_in("poller")
    assert chat.connect("poller")["id"] == "poller"
    assert chat.wait_for("transport.changed") == [{"type": "transport.changed", "mode": "longpoll"}]
    (session,) = stream.sessions.wait_for("poller")
    assert session.transport == "longpoll"

    stream.fail_with(40, "GET /longpoll")
    session.push({"type": "notification.first"})
    chat.wait_for("notification.first")
    session.push({"type": "notification.second"})
    chat.wait_for("notification.second")
    assert chat.token_calls == 2
    assert chat.query_users() == [["poller"]]

    chat.driver.call("disconnectUser")
    stream.sessions.wait_for("poller", 0)


def test_misspelt_fallback_option_has_no_effect(chat: ChatClient, stream: StreamDouble) -> None:
    """Stream's documents say `enableWSFallBack`: `connectUser` rejects after 15 seconds."""
    stream.faults.refuse("GET /connect", times=None)
    chat.make(enableWSFallBack=True)
    chat.sign_in("misspelt")
    with pytest.raises(SdkError) as refused:
        chat.connect("misspelt")
    reason = json.loads(str(refused.value))
    assert reason["message"] == "initial WS connection could not be established"
    assert not stream.calls.to("GET", "/longpoll")
