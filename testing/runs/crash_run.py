"""One run of the crash proof: act, kill, look; in the end let Stream be well, and compare."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3

from testing.doubles.faults import RandomFaults
from testing.doubles.stream import StreamDouble
from testing.runs.crash_actors import Actor, Subject, read_state
from testing.runs.crash_figures import ACT_THEN_UNDO, UNDO_THEN_ACT, Figures
from testing.service import start_service
from testing.service_clients import basic, make_client
from tokensvc.database.engine import Database
from tokensvc.database.tables import deliveries
from tokensvc.delivery import rules, store
from tokensvc.delivery.rules import DeliveryState
from tokensvc.stream.api import rfc3339

ACTORS, USERS_OF_EACH = 4, 10
PHASES = 9
LONGEST_LIFE = 2.5
"""Seconds from a start to the kill, at most."""
LATEST = 25.0
"""Seconds after which a call that hangs or comes late is applied, at most."""
BYSTANDER = "bystander"
CUT_OFF = "revoke_tokens_issued_before"

_SCOPES = ("users:read", "users:write", "revocations:write", "app:write", "tokens:mint")
_PATIENCE = rules.LEASE_SECONDS + 2 * rules.RESEND_SECONDS + LATEST + 60


class Proof:
    """
    One run.

    Args:
        hurry: Let everything get older in the end instead of waiting for it.
    """

    def __init__(
        self,
        folder: Path,
        stream: StreamDouble,
        settings: dict[str, str],
        *,
        seed: int,
        hurry: bool,
    ) -> None:
        self.figures = Figures()
        self._folder = folder
        self._stream = stream
        self._settings = settings
        self._hurry = hurry
        self._chance = random.Random(seed)
        self._http = urllib3.PoolManager(retries=False, timeout=20.0)
        self._service = start_service(folder, **settings)
        self._database = Database.open(settings["TOKENSVC_DATABASE_URL"], pool_size=1)
        self._credentials = basic(make_client(self._database, "backend", *_SCOPES))
        self._actors = [self._actor(number) for number in range(ACTORS)]
        self._everyone = Subject(None)
        self._actors[0].subjects.append(self._everyone)

    @property
    def _subjects(self) -> list[Subject]:
        return [subject for actor in self._actors for subject in actor.subjects]

    def run(self, kills: int) -> None:
        """Act, kill, look; in the end let Stream be well, and compare."""
        begun = time.monotonic()
        self.figures.wanted = kills
        for actor in self._actors:
            actor.start()
        for kill in range(kills):
            self._take_turns(PHASES * kill // kills)
            self._let_act(self._chance.uniform(0.05, LONGEST_LIFE))
            self._crash()
            self._look()
            self._somebody_connects()
        self._end_well()
        for actor in self._actors:
            actor.stop()
            self.figures.failures += actor.failures
        self._count()
        self.figures.seconds = time.monotonic() - begun

    def close(self) -> None:
        self._service.kill()
        self._database.close()

    def _actor(self, number: int) -> Actor:
        users = [f"u{number}-{each}" for each in range(USERS_OF_EACH)]
        for user_id in users[::2]:
            self._connect(user_id)
        random_fraction = random.Random(self._chance.random())
        return Actor([Subject(user_id) for user_id in users], self._credentials, random_fraction)

    def _take_turns(self, phase: int) -> None:
        """Let two in three rest: what nobody acts on any more is told in time, and stays so."""
        for number, subject in enumerate(self._subjects):
            subject.rests = number % 3 != phase % 3

    def _let_act(self, seconds: float) -> None:
        for actor in self._actors:
            actor.base_url = self._service.base_url
            actor.may_act.set()
        time.sleep(seconds)

    def _crash(self) -> None:
        pids = [self._service.process.pid, *self._service.worker_pids()]
        self.figures.under_way += sum(not actor.is_idle.is_set() for actor in self._actors)
        self._service.kill()
        self.figures.kills += 1
        for actor in self._actors:
            actor.may_act.clear()
        for actor in self._actors:
            _wait(actor.is_idle.is_set, "an actor")
        _wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the dead")
        self._service = start_service(self._folder, **self._settings)

    def _look(self) -> None:
        """Hold what stands here against what was answered before the kill."""
        for subject in self._subjects:
            state = self._get(subject.path)
            self.figures.checks += 1
            if subject.doubt is None:
                right = read_state(state) == subject.known
            else:
                right = subject.may_become(state)
                done = read_state(state) != subject.known
                self.figures.lost["done" if done else "not done"] += 1
            if not right:
                told = f"{subject.path}: {subject.known}, {subject.doubt} in doubt, is {state}"
                self.figures.wrong_here.append(told)
            subject.known, subject.doubt = read_state(state), None
            self._try_to_mint(subject)
            if self._is_applied(subject):
                self.figures.applied += 1
                self._compare(subject)

    def _is_applied(self, subject: Subject) -> bool:
        """Tell whether Stream is said to hold everything of a subject, and no creation may land."""
        with self._database.read() as connection:
            if subject.user_id is None:
                found = [store.status(connection, "app", rules.APP)]
            else:
                found = [
                    store.status(connection, "user", subject.user_id),
                    store.status(connection, "profile", subject.user_id),
                ]
        return all(status.state is DeliveryState.APPLIED for status in found)

    def _try_to_mint(self, subject: Subject) -> None:
        """Ask for a token with a sign-in from just before the cut-off, which must be refused."""
        cut_off, suspended, _ = subject.known
        if cut_off is None:
            return
        body = {"user_id": subject.user_id or BYSTANDER, "auth_time": cut_off - 1}
        answer = self._http.request(
            "POST", f"{self._service.base_url}/v1/token", headers=self._credentials, json=body
        )
        self.figures.checks += 1
        expected = "user_suspended" if suspended else "sign_in_required"
        if answer.json().get("code") != expected:
            self.figures.wrong_here.append(f"{subject.path} minted: {answer.data!r}")

    def _somebody_connects(self) -> None:
        """Let somebody whom Stream did not have connect to it, who thereby has no cut-off."""
        missing = self._missing()
        if missing and self._chance.random() < 0.2:
            self._connect(self._chance.choice(missing))

    def _missing(self) -> list[str]:
        users = [subject.user_id for subject in self._subjects if subject.user_id]
        return [user_id for user_id in users if user_id not in self._stream.app.users]

    def _connect(self, user_id: str) -> None:
        self._stream.app.users.setdefault(user_id, {"id": user_id, "role": "user"})

    def _end_well(self) -> None:
        faults = self._stream.faults
        assert isinstance(faults, RandomFaults)
        self.figures.calls = len(self._stream.calls.all())
        self.figures.faults = Counter({str(kind): count for kind, count in faults.met.items()})
        faults.share = 0.0
        faults.clear()
        for user_id in self._missing():
            self._connect(user_id)
        if self._hurry:
            # Once, for the leases of the dead: the living need theirs until a call has ended.
            self._grow_older("lease_until")
        _wait(self._is_told, "Stream to be told", _PATIENCE)
        self._stream.calls.wait_until_done()
        for subject in self._subjects:
            self.figures.compared += 1
            self._compare(subject)

    def _is_told(self) -> bool:
        with self._database.read() as connection:
            waiting = store.listed(connection, kind=None, states=rules.OPEN_STATES, limit=1000)
        if waiting and self._hurry:
            self._stream.calls.wait_until_done()
            self._grow_older("due_at", "resend_at", "absent_since")
        return not waiting

    def _grow_older(self, *times: str) -> None:
        """Let so much time have passed that everything is sent again, as far as these say."""
        with self._database.write() as tx:
            subjects = [subject.user_id or rules.APP for subject in self._subjects]
            for kind in ("app", "profile", "user"):  # in the order in which senders wait
                store.lock(tx, kind, subjects)
            columns = {name: deliveries.c[name] - rules.RESEND_SECONDS for name in times}
            tx.execute(deliveries.update().values(columns))

    def _compare(self, subject: Subject) -> None:
        app = self._stream.app
        held: Any = app.settings if subject.user_id is None else app.users.get(subject.user_id, {})
        wanted = rfc3339(read_state(self._get(subject.path))[0])
        if held.get(CUT_OFF) != wanted:
            told = f"{subject.path}: {held.get(CUT_OFF)} instead of {wanted}"
            self.figures.wrong_at_stream.append(told)
        if subject.names and held.get("name") not in subject.names:
            told = f"{subject.path}: {held.get('name')} instead of {subject.names}"
            self.figures.wrong_at_stream.append(told)

    def _count(self) -> None:
        for subject in self._subjects:
            self.figures.acts.update(subject.done)
            acts = [act for act in subject.done if act in {"revoke", "suspend", "undo"}]
            for one, other in itertools.pairwise(acts):
                if (one == "undo") != (other == "undo"):
                    self.figures.pairs[UNDO_THEN_ACT if one == "undo" else ACT_THEN_UNDO] += 1

    def _get(self, path: str) -> Any:
        answer = self._http.request("GET", self._service.base_url + path, headers=self._credentials)
        assert answer.status == 200, answer.data
        return answer.json()


def _wait(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)
