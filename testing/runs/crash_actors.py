"""Backends that act on users continuously, and remember the responses."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from testing.doubles.events import logout_token
from testing.doubles.issuer import IssuerDouble

Standing = tuple[int | None, bool, str | None]
"""Cut-off, whether suspended, and ID of the revocation in effect."""
LOGOUTS = LOGOUT, DONE_LOGOUT = "log_out", "logged_out"
"""A provider's event whose response was lost; or only the state of its user after the response."""
ENDING = {"revoke", "suspend", "erase", *LOGOUTS}
"""The actions that end sessions."""


@dataclass
class Session:
    """
    A session of a user.

    Attributes:
        endings: Number of actions of the user and of the app that ended sessions before it.
    """

    refresh_token: str
    endings: int


@dataclass
class Subject:
    """
    A user or the app, and the state in the last response.

    Attributes:
        user_id: User ID; `None` for the app.
        known: Standing in the last response.
        uncertain: Action whose response was lost, if any.
        names: Possible names in the profile: that of the last response, or `None` before the first
            one, and those of later lost responses.
        done: Actions with a response, in order.
        paused: Whether no actor acts on it, so that its state can reach Stream.
        session: A session, opened after a restart.
        erases_after: Number of actions after which the user is erased; `None`: never.
        erased: Whether the user is erased.
        logout_token: Latest event about the user.
        asked_at: Epoch seconds before the latest request.
        renewed_at: Epoch seconds before the latest renewal with a response.
        devices: IDs of all devices that the user has added at Stream, the first one first.
        reached: Number of them that each action with a response removes, by its revocation.
    """

    user_id: str | None
    known: Standing = (None, False, None)
    uncertain: str | None = None
    names: set[str | None] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    paused: bool = False
    session: Session | None = None
    erases_after: int | None = None
    erased: bool = False
    logout_token: str = ""
    asked_at: int = 0
    renewed_at: int = 0
    devices: list[str] = field(default_factory=list)
    reached: dict[str | None, int] = field(default_factory=dict)

    @property
    def removed_devices(self) -> list[str]:
        """IDs of the devices that actions in effect remove."""
        return self.devices[: max(self.reached.values(), default=0)]

    @property
    def endings(self) -> int:
        """Number of actions with a response that ended sessions."""
        return sum(action in ENDING for action in self.done)

    @property
    def path(self) -> str:
        return "/v1/app" if self.user_id is None else f"/v1/users/{self.user_id}"

    def possible(self) -> list[str]:
        """Return the actions that the service would not refuse."""
        if self.erased:
            return []
        if self.erases_after is not None and len(self.done) >= self.erases_after:
            return ["erase"]
        _, suspended, revocation_id = self.known
        actions = ["revoke"]
        if revocation_id is not None and not suspended:
            actions.append("undo")
        if self.user_id is not None:
            actions += ["reinstate" if suspended else "suspend", "profile", "renew", LOGOUT]
        return actions

    def lose(self, action: str, name: str) -> None:
        """Record an action whose response was lost: it may be done or not."""
        if action == "undo":
            self.reached.pop(self.known[2], None)
        if action != "profile":
            self.uncertain = action
        else:
            self.names |= {name} if self.names else {None, name}

    def confirm(self, action: str, name: str, state: Any) -> None:
        """Record an action and the state in its response."""
        self.done.append(LOGOUT if action == DONE_LOGOUT else action)
        if action == "undo":
            self.reached.pop(self.known[2], None)
        if action == "profile":
            self.names = {name}
        else:
            self.known, self.erased = read_state(state), action == "erase"
        if action in ENDING:
            self.reached[self.known[2]] = len(self.devices)
        if action == "renew":
            self.renewed_at = self.asked_at

    def may_be(self, state: Any) -> bool:
        """Return whether a state is the one before the uncertain action, or the one after it."""
        cut_off, suspended, revocation_id = read_state(state)
        if (cut_off, suspended, revocation_id) == self.known:
            return self.uncertain != DONE_LOGOUT
        match self.uncertain:
            case "revoke" | "log_out" | "logged_out":
                return revocation_id != self.known[2] and (cut_off or 0) >= (self.known[0] or 0)
            case "suspend" | "erase":
                return suspended and revocation_id != self.known[2]
            case "reinstate":
                return not suspended and cut_off == self.known[0]
            case "undo":
                return revocation_id != self.known[2] and suspended is False
        return False


def read_state(state: Any) -> Standing:
    """Return the part of a response that a subject remembers."""
    revocation = state["revocation"]
    revocation_id = revocation and revocation["id"]
    return state["tokens_valid_after"], state.get("suspended", False), revocation_id


def logout_of(base_url: str, subject: Subject) -> tuple[str, dict[str, str]]:
    """Return URL and form of the latest event about a user."""
    return f"{base_url}/v1/issuers/acme/events", {"logout_token": subject.logout_token}


class Actor(threading.Thread):
    """
    A backend that acts on its own subjects, one request at a time, also as their provider.

    Attributes:
        base_url: URL of the service; a different one after each restart.
        may_act: Event that permits requests.
        is_idle: Event that is set while no request is in flight.
        failures: Descriptions of unexpected responses.
    """

    def __init__(
        self,
        subjects: list[Subject],
        credentials: dict[str, str],
        issuer: IssuerDouble,
        generator: random.Random,
    ) -> None:
        super().__init__(daemon=True)
        self.subjects = subjects
        self.base_url = ""
        self.may_act = threading.Event()
        self.is_idle = threading.Event()
        self.failures: list[str] = []
        self._credentials = credentials
        self._issuer = issuer
        self._random = generator
        self._stopping = threading.Event()
        self._count = 0
        self._http = urllib3.PoolManager(retries=False, timeout=20.0)

    def run(self) -> None:
        while not self._stopping.is_set():
            self.is_idle.set()
            if not self.may_act.wait(0.1):
                continue
            self.is_idle.clear()
            chosen = [
                item
                for item in self.subjects
                if item.uncertain is None and not item.paused and not item.erased
            ]
            if self.may_act.is_set() and chosen:
                self._act(self._random.choice(chosen))
            else:
                time.sleep(0.01)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _act(self, subject: Subject) -> None:
        action = self._random.choice(subject.possible())
        self._count += 1
        name = f"{self.name}-{self._count}"
        subject.asked_at = int(time.time())
        if action == LOGOUT:
            subject.logout_token = logout_token(self._issuer, sub=subject.user_id)
            url, form = logout_of(self.base_url, subject)
            response = self._send("POST", url, fields=form, encode_multipart=False)
            if response is not None and response.status == 200:
                # The response has no state.
                self._confirm(subject, DONE_LOGOUT, name, self._call("GET", subject.path, None))
                return
        else:
            response = self._call(*_request(subject, action, name))
        self._confirm(subject, action, name, response)

    def _confirm(
        self, subject: Subject, action: str, name: str, response: BaseHTTPResponse | None
    ) -> None:
        if response is None or response.status == 503:
            subject.lose(action, name)
        elif response.status != 200:
            self.failures.append(f"{action} of {subject.path}: {response.data!r}")
        elif action == "renew" and read_state(response.json()) != subject.known:
            self.failures.append(f"a renewal changed {subject.known}: {response.data!r}")
        else:
            subject.confirm(action, name, response.json())

    def _call(self, method: str, path: str, body: Any) -> BaseHTTPResponse | None:
        return self._send(method, self.base_url + path, headers=self._credentials, json=body)

    def _send(self, method: str, url: str, **options: Any) -> BaseHTTPResponse | None:
        """Return the response, or `None` if it was lost."""
        try:
            return self._http.request(method, url, **options)
        except HTTPError:
            return None


def _request(subject: Subject, action: str, name: str) -> tuple[str, str, Any]:
    path = subject.path
    requests: dict[str, Callable[[], tuple[str, str, Any]]] = {
        "revoke": lambda: ("POST", f"{path}/revocations", {}),
        "undo": lambda: ("DELETE", f"{path}/revocations/{subject.known[2]}", None),
        "suspend": lambda: ("PUT", f"{path}/suspension", {}),
        "reinstate": lambda: ("DELETE", f"{path}/suspension", None),
        "renew": lambda: ("POST", f"{path}/renewals", {}),
        "erase": lambda: ("DELETE", path, None),
        "profile": lambda: ("PUT", f"{path}/profile", {"id": subject.user_id, "name": name}),
    }
    return requests[action]()
