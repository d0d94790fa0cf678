"""Backends that act on users without pause, and remember what they were told."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError


@dataclass
class Subject:
    """
    A user, or everyone, and what the service said last of what stands against them.

    Attributes:
        user_id: `None` is everyone.
        known: The cut-off, whether suspended, and the act that stands.
        doubt: The act whose answer was lost, if it was.
        names: What their profile may say: the last one answered, or `None`, and lost ones since.
        done: The acts that were answered, in order.
        rests: Whether they are left alone for a while, so that Stream can be told.
    """

    user_id: str | None
    known: tuple[int | None, bool, str | None] = (None, False, None)
    doubt: str | None = None
    names: set[str | None] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    rests: bool = False

    @property
    def path(self) -> str:
        return "/v1/app" if self.user_id is None else f"/v1/users/{self.user_id}"

    def possible(self) -> list[str]:
        """Give the acts that would not be refused, undone ones as often as new ones."""
        _, suspended, act_id = self.known
        acts = ["revoke"]
        if act_id is not None and not suspended:
            acts.append("undo")
        if self.user_id is not None:
            acts += ["reinstate" if suspended else "suspend", "profile"]
        return acts

    def lost(self, act: str, name: str) -> None:
        """Remember an act whose answer was lost, so that nobody knows whether it was done."""
        if act != "profile":
            self.doubt = act
        else:
            self.names |= {name} if self.names else {None, name}

    def answered(self, act: str, name: str, state: Any) -> None:
        """Remember what was answered."""
        self.done.append(act)
        if act == "profile":
            self.names = {name}
        else:
            self.known = read_state(state)

    def may_become(self, state: Any) -> bool:
        """Tell whether a state is what the act in doubt makes, or what was before it."""
        cut_off, suspended, act_id = read_state(state)
        if (cut_off, suspended, act_id) == self.known:
            return True
        match self.doubt:
            case "revoke":
                return act_id != self.known[2] and (cut_off or 0) >= (self.known[0] or 0)
            case "suspend":
                return suspended and act_id != self.known[2]
            case "reinstate":
                return not suspended and cut_off == self.known[0]
            case "undo":
                return act_id != self.known[2] and suspended is False
        return False


def read_state(state: Any) -> tuple[int | None, bool, str | None]:
    """Give of an answered state what is remembered of it."""
    act = state["revocation"]
    return state["tokens_valid_after"], state.get("suspended", False), act and act["id"]


class Actor(threading.Thread):
    """
    Acts on its own subjects, one request at a time, while it may.

    Attributes:
        base_url: Of the service; another one after each restart.
        may_act: Set while it may.
        is_idle: Set while no request of it is under way.
        failures: Answers that should not have come.
    """

    def __init__(
        self, subjects: list[Subject], credentials: dict[str, str], random_fraction: random.Random
    ) -> None:
        super().__init__(daemon=True)
        self.subjects = subjects
        self.base_url = ""
        self.may_act = threading.Event()
        self.is_idle = threading.Event()
        self.failures: list[str] = []
        self._credentials = credentials
        self._chance = random_fraction
        self._stopping = threading.Event()
        self._count = 0
        self._http = urllib3.PoolManager(retries=False, timeout=20.0)

    def run(self) -> None:
        while not self._stopping.is_set():
            self.is_idle.set()
            if not self.may_act.wait(0.1):
                continue
            self.is_idle.clear()
            chosen = [each for each in self.subjects if each.doubt is None and not each.rests]
            if self.may_act.is_set() and chosen:
                self._act(self._chance.choice(chosen))
            else:
                time.sleep(0.01)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _act(self, subject: Subject) -> None:
        act = self._chance.choice(subject.possible())
        self._count += 1
        name = f"{self.name}-{self._count}"
        method, path, body = _request(subject, act, name)
        try:
            answer = self._http.request(
                method, self.base_url + path, headers=self._credentials, json=body
            )
        except HTTPError:
            answer = None
        if answer is None or answer.status == 503:
            subject.lost(act, name)
        elif answer.status == 200:
            subject.answered(act, name, answer.json())
        else:
            self.failures.append(f"{method} {path}: {answer.data!r}")


def _request(subject: Subject, act: str, name: str) -> tuple[str, str, Any]:
    path = subject.path
    requests: dict[str, Callable[[], tuple[str, str, Any]]] = {
        "revoke": lambda: ("POST", f"{path}/revocations", {}),
        "undo": lambda: ("DELETE", f"{path}/revocations/{subject.known[2]}", None),
        "suspend": lambda: ("PUT", f"{path}/suspension", {}),
        "reinstate": lambda: ("DELETE", f"{path}/suspension", None),
        "profile": lambda: ("PUT", f"{path}/profile", {"id": subject.user_id, "name": name}),
    }
    return requests[act]()
