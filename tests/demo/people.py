"""The people in front of the page: what they do, and what they see."""

import json
from typing import Any

from playwright.sync_api import Locator, Page, WebSocket, expect

from testing.browser import TIMEOUT

CONNECTED = "Connected by WebSocket"


class Person:
    """
    One of the two people.

    Attributes:
        user_id: ID that the person signs up with.
    """

    def __init__(self, pane: Locator, user_id: str) -> None:
        self.pane = pane
        self.user_id = user_id

    def press(self, name: str) -> None:
        self.pane.get_by_role("button", name=name, exact=True).click()

    def enter(self, button: str, *, user_id: str = "", password: str = "") -> None:
        """Fill the form in and submit it. The page has filled a password in."""
        self.pane.get_by_label("User ID").fill(user_id or self.user_id)
        if password:
            self.pane.get_by_label("Password").fill(password)
        self.press(button)

    def join(self, state: str = CONNECTED) -> None:
        """Sign up, and wait until the chat is connected."""
        self.enter("Sign up")
        self.is_connected(state)

    def write(self, text: str) -> None:
        """Write a message without sending it. The SDK tells Stream that the person types."""
        self.pane.get_by_label("Message", exact=True).fill(text)

    def types(self, text: str) -> None:
        """Type a message key by key without sending it."""
        self.pane.get_by_label("Message", exact=True).press_sequentially(text)

    def send(self, text: str) -> None:
        self.write(text)
        self.press("Send")

    def choose(self, setting: str, *, on: bool) -> None:
        folded = self.pane.locator(".settings:not([open]) > summary")
        if folded.count():
            folded.click()
        self.pane.get_by_label(setting).set_checked(on)

    def is_connected(self, state: str = CONNECTED) -> None:
        self.shows(state, within=".connection")
        expect(self.pane.locator(".chat")).to_be_visible(timeout=TIMEOUT)

    def received(self, text: str) -> None:
        self.shows(text, within=".messages")

    def shows(self, text: str, *, within: str) -> None:
        expect(self.pane.locator(within)).to_contain_text(text, timeout=TIMEOUT)

    def failed(self, kind: str, text: str) -> None:
        """Wait until the person sees a failure of one of the three kinds."""
        box = self.pane.locator(f".failure[data-kind={kind}]")
        expect(box).to_contain_text(text, timeout=TIMEOUT)

    def has_no_failure(self) -> None:
        expect(self.pane.locator(".failure")).to_be_empty(timeout=TIMEOUT)


class Operator:
    """The operator."""

    def __init__(self, pane: Locator) -> None:
        self.pane = pane

    def press(self, name: str) -> None:
        self.pane.get_by_role("button", name=name, exact=True).click()

    def act(self, name: str, person: Person) -> None:
        """Press a button of a user, and wait for the response of the service."""
        row = self.row(person)
        row.get_by_role("button", name=name, exact=True).click()

    def row(self, person: Person) -> Locator:
        return self.pane.locator(f"[data-key={person.user_id}]")

    def sees(self, person: Person, text: str) -> None:
        expect(self.row(person)).to_contain_text(text, timeout=TIMEOUT)

    def has_sent(self, request: str) -> None:
        expect(self.pane.locator(".log li").first).to_contain_text(request, timeout=TIMEOUT)

    def turn(self, key: str, name: str, state: str) -> None:
        """Press a button of a key, and wait for its new state."""
        row = self.pane.locator(".keys li", has=self.pane.page.get_by_text(key, exact=True))
        row.get_by_role("button", name=name, exact=True).click()
        expect(row.locator(".state")).to_have_text(state, timeout=TIMEOUT)

    def add_key(self) -> tuple[str, str]:
        """Add a key, and return the names of the active key and the new one."""
        keys = self.pane.locator(".keys li")
        expect(keys.first).to_be_visible()
        active = keys.filter(has_text="active").locator("code").inner_text()
        number = keys.count()
        self.press("Add a key")
        expect(keys).to_have_count(number + 1, timeout=TIMEOUT)
        return active, f"demo-key-{number + 1}"


def record_events(page: Page, person: Person) -> list[dict[str, Any]]:
    """Return a list to which the events of a person's next WebSockets are added."""
    events: list[dict[str, Any]] = []

    def record(socket: WebSocket) -> None:
        if f"%22{person.user_id}%22" in socket.url:
            socket.on("framereceived", lambda frame: events.append(json.loads(frame)))

    page.on("websocket", record)
    return events


def tab_to(page: Page, name: str) -> None:
    """Press Tab until an element of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == name:
            return
    raise AssertionError(f"Tab does not reach {name}")
