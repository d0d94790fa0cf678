"""Where WebSockets do not get through, the SDK polls, if its option is spelt right."""

import json

import pytest

from testing.doubles.stream import StreamDouble
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import SdkError

pytestmark = pytest.mark.slow


def test_long_polls_replace_a_websocket_that_does_not_open(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """`enableWSFallback`: connected by polls, events arrive, an expired token is replaced."""
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


def test_the_option_as_the_documentation_spells_it_does_nothing(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """`enableWSFallBack`: no poll, and `connectUser` rejects after the SDK's 15 seconds."""
    stream.faults.refuse("GET /connect", times=None)
    chat.make(enableWSFallBack=True)
    chat.sign_in("misspelt")
    with pytest.raises(SdkError) as refused:
        chat.connect("misspelt")
    reason = json.loads(str(refused.value))
    assert reason["message"] == "initial WS connection could not be established"
    assert not stream.calls.to("GET", "/longpoll")
