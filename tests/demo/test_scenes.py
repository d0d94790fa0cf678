"""What else the demo shows: settings of the chat, and what the person does after a failure."""

import os

import pytest
from playwright.sync_api import Browser, Page, expect

from testing.browser import TIMEOUT
from tests.demo.people import Operator, Person, record_events

LONG_POLLING = "Connected by long polling"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("PAGES"), reason="`make pages` runs it"),
]


def test_privacy_settings_hide_typing_and_reads(page: Page, ada: Person, bob: Person) -> None:
    """The settings are part of `connectUser`, so a change connects again."""
    events = record_events(page, ada)
    ada.join()
    bob.choose("Show when I type", on=False)
    bob.choose("Show what I have read", on=False)
    bob.join()
    with page.expect_response("**/read?*"):
        ada.send("read this")
    bob.send("done")  # after the first keystroke
    ada.received("done")
    of_bob = [event["type"] for event in events if event.get("user", {}).get("id") == bob.user_id]
    assert of_bob == ["message.new"]
    bob.choose("Show what I have read", on=True)
    bob.shows("Call 2", within=".calls")
    bob.is_connected()
    ada.send("and this")
    ada.shows(f"Read by {bob.user_id}", within=".messages")


def test_setting_that_changes_during_the_connection_is_used_after_it(ada: Person) -> None:
    ada.choose("This network blocks WebSockets", on=True)
    ada.enter("Sign up")
    ada.shows("Connecting", within=".connection")
    ada.choose("This network blocks WebSockets", on=False)
    ada.is_connected()


def test_expired_token_is_replaced_while_a_message_is_sent(ada: Person) -> None:
    ada.join()
    ada.press("Expire it now")
    ada.send("after the end")
    ada.received("after the end")
    ada.shows("Call 2: a token for", within=".calls")
    newest_first = "\n".join(ada.pane.locator(".calls li").all_inner_texts())
    # Several requests may be refused, and each may call the provider.
    _later, before = newest_first.split("Call 2: a token for")
    assert "Stream refuses a request: 401, code 40 (the token has expired)" in before
    ada.has_no_failure()


def test_long_polling_carries_the_chat_where_websockets_are_blocked(
    ada: Person, bob: Person
) -> None:
    bob.join()
    ada.choose("This network blocks WebSockets", on=True)
    ada.join(LONG_POLLING)
    ada.send("from a hotel")
    bob.received("from a hotel")
    bob.send("welcome")
    ada.received("welcome")
    ada.choose("This network blocks WebSockets", on=False)
    ada.is_connected()


def test_second_user_takes_over_after_the_first_has_signed_out(ada: Person, bob: Person) -> None:
    ada.join()
    ada.press("Disconnect")
    ada.shows("Disconnected", within=".connection")
    ada.press("Connect")
    ada.is_connected()
    ada.press("Sign out")
    ada.shows("Signed out", within=".connection")
    expect(ada.pane.get_by_label("User ID")).to_be_focused()
    second = Person(ada.pane, f"{ada.user_id}-carol")
    second.join()
    second.shows(second.user_id, within=".claims")
    bob.join()
    second.send("it is me")
    bob.received(second.user_id)


def test_failed_sign_in_says_what_to_do_next(ada: Person) -> None:
    ada.enter("Sign in", password="not the right password")
    ada.failed("wrong", "sign up first")
    ada.enter("Sign up", password="short")
    ada.failed("wrong", "It is too short")
    ada.enter("Sign up", user_id="Ada Lovelace", password="seven green bicycles")
    ada.failed("wrong", "Use a to z, 0 to 9")


def test_user_who_was_signed_out_everywhere_signs_in_again(ada: Person, operator: Operator) -> None:
    ada.join()
    operator.act("Sign out everywhere", ada)
    ada.failed("sign-in", "Sign in again")
    ada.enter("Sign in")
    ada.is_connected()
    ada.has_no_failure()


def test_client_of_a_retired_key_reads_what_is_wrong_and_reconnects(
    ada: Person, operator: Operator
) -> None:
    """Until the first key retires, a client that names it continues."""
    ada.join()
    first, second = operator.add_key()
    operator.turn(second, "Activate", "active")
    ada.press("Expire it now")
    ada.send("with the first key")
    ada.received("with the first key")
    ada.shows("Call 2: a token for", within=".calls")
    ada.shows(f"signed with {first}", within=".calls")
    operator.turn(first, "Retire", "retired")
    ada.press("Ask for a token")
    ada.failed("reconnect", "Reconnect it with the active key")
    ada.press("Reconnect")
    ada.is_connected()
    ada.shows(f"signed with {second}", within=".calls")
    ada.has_no_failure()
    ada.send("with the second key")
    ada.received("with the second key")


def test_busy_service_is_asked_again_as_it_says(ada: Person) -> None:
    """503 and 429: the provider waits, and the person sees why."""
    ada.join()
    ada.press("Get 503 for 5 s")
    ada.failed("later", "503 temporarily_unavailable")
    ada.shows("Call 2: a token for", within=".calls")
    ada.has_no_failure()
    ada.press("Ask until 429")
    ada.shows("429 rate_limited", within=".calls")
    ada.has_no_failure()


def test_service_that_is_down_is_asked_again_until_it_runs(ada: Person, operator: Operator) -> None:
    ada.join()
    operator.press("Stop the service")
    operator.pane.get_by_text("Stopped").wait_for()
    ada.send("Stream still works")
    ada.received("Stream still works")
    ada.press("Ask for a token")
    ada.failed("later", "no response")
    operator.press("Start the service")
    ada.shows("Call 2: a token for", within=".calls")
    ada.has_no_failure()


def test_page_says_what_to_do_if_the_demo_has_stopped(browser: Browser, demo: str) -> None:
    page = browser.new_page()
    page.route("**/scene", lambda route: route.abort())
    page.goto(demo)
    expect(page.locator("header")).to_contain_text("Run `make demo` again", timeout=TIMEOUT)
    page.close()
