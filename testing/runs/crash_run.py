"""The crash run: act, kill and compare, repeatedly. At the end Stream recovers."""

import itertools
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import urllib3

from testing.doubles.faults import RandomFaults
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.runs.crash_actors import (
    ENDING,
    LOGOUTS,
    Actor,
    Session,
    Subject,
    logout_of,
    read_state,
)
from testing.runs.crash_figures import ACTION_THEN_UNDO, GAPS, UNDO_THEN_ACTION, Figures
from testing.runs.crash_stream import AtStream
from testing.service import start_service
from testing.service_clients import basic, make_client
from testing.sessions import open_session, sessions_on
from testing.waiting import wait_until
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.revocations.store import unconfirmed_targets

ACTORS, USERS_OF_EACH = 4, 10
SESSION_OF_EACH = 4
"""One of so many users has a session."""
PHASES = 9
LONGEST_LIFE = 2.5
"""Maximum seconds from a start to the kill."""
BYSTANDER = "bystander"
ERASED_OF_EACH, ERASES_AFTER = 5, 3
"""One of so many users is erased, after so many actions."""

_SCOPES = (
    *("users:read", "users:write", "users:erase", "revocations:write", "app:write"),
    "tokens:mint",
)


class CrashRun:
    """
    A run.

    Args:
        folder: Folder of the service.
        stream: Stream double with random faults.
        issuer: Identity provider of the users.
        settings: Settings of the service.
        seed: Seed of the random numbers.
        hurry: Whether to change the times of deliveries at the end instead of waiting.
    """

    def __init__(
        self,
        folder: Path,
        stream: StreamDouble,
        issuer: IssuerDouble,
        settings: dict[str, str],
        *,
        seed: int,
        hurry: bool,
    ) -> None:
        self.figures = Figures(wanted_gaps=() if hurry else GAPS)
        self._folder = folder
        self._stream = stream
        self._issuer = issuer
        self._settings = settings
        self._hurry = hurry
        self._random = random.Random(seed)
        self._http = urllib3.PoolManager(retries=False, timeout=20.0)
        self._service = start_service(folder, **settings)
        self._database = Database.open(settings["TOKENSVC_DATABASE_URL"], pool_size=1)
        self._credentials = basic(make_client(self._database, "backend", *_SCOPES))
        self._at_stream = AtStream(stream, self._database, self.figures, self._random)
        self._actors = [self._actor(number) for number in range(ACTORS)]
        self._actors[0].subjects.append(Subject(None))
        self._at_stream.subjects = self._subjects

    @property
    def _subjects(self) -> list[Subject]:
        return [subject for actor in self._actors for subject in actor.subjects]

    def run(self, kills: int) -> None:
        """Act, kill and compare repeatedly. At the end let Stream recover, and compare."""
        start = time.monotonic()
        self.figures.wanted = kills
        for actor in self._actors:
            actor.start()
        for kill in range(kills):
            self._pause_most(PHASES * kill // kills)
            self._let_act(self._random.uniform(0.05, LONGEST_LIFE))
            self._crash()
            self._compare_after_restart()
            self._at_stream.connect_a_missing_user()
            self._at_stream.add_a_device()
        self._recover()
        for actor in self._actors:
            actor.stop()
            self.figures.failures += actor.failures
        self._count()
        self.figures.seconds = time.monotonic() - start

    def close(self) -> None:
        self._service.kill()
        self._database.close()

    def _actor(self, number: int) -> Actor:
        users = [f"u{number}-{index}" for index in range(USERS_OF_EACH)]
        for user_id in users[::2]:
            self._at_stream.connect(user_id)
        generator = random.Random(self._random.random())
        subjects = [Subject(user_id) for user_id in users]
        for subject in subjects[::ERASED_OF_EACH]:
            subject.erases_after = ERASES_AFTER
        for subject in subjects[::2]:
            self._at_stream.add_device(subject)
        return Actor(subjects, self._credentials, self._issuer, generator)

    def _pause_most(self, phase: int) -> None:
        """Pause two of three subjects, so that Stream receives their states."""
        for number, subject in enumerate(self._subjects):
            subject.paused = number % 3 != phase % 3

    def _let_act(self, seconds: float) -> None:
        for actor in self._actors:
            actor.base_url = self._service.base_url
            actor.may_act.set()
        time.sleep(seconds)

    def _crash(self) -> None:
        self.figures.in_flight += sum(not actor.is_idle.is_set() for actor in self._actors)
        self._service.kill()
        self.figures.gaps.update(self._at_stream.gaps())
        self.figures.kills += 1
        for actor in self._actors:
            actor.may_act.clear()
        for actor in self._actors:
            wait_until(actor.is_idle.is_set, "an actor is idle")
        self._service = start_service(self._folder, **self._settings)

    def _compare_after_restart(self) -> None:
        """Compare the states after the restart with the responses before the kill."""
        # The service confirms actions of the process that was killed, and can move their cut-offs.
        wait_until(lambda: not unconfirmed_targets(self._database, 1), "all actions are confirmed")
        self._use_sessions()
        for subject in self._subjects:
            if subject.uncertain in LOGOUTS:
                self._send_logout_again(subject)
            state = self._get(subject.path)
            self.figures.checks += 1
            if subject.uncertain is None:
                is_right = read_state(state) == subject.known
            else:
                is_right = subject.may_be(state)
                done = read_state(state) != subject.known
                self.figures.lost["done" if done else "not done"] += 1
            if not is_right:
                self.figures.wrong_here.append(
                    f"{subject.path}: {state} after {subject.known}, uncertain {subject.uncertain}"
                )
            subject.known, subject.uncertain = read_state(state), None
            subject.erased = state.get("erasure") is not None
            self._try_to_mint(subject)
            self._at_stream.compare_if_applied(subject)
        self._open_sessions()

    def _send_logout_again(self, subject: Subject) -> None:
        """Send an event whose response was lost: it has one effect, before or now."""
        before = self._get(subject.path)
        is_done = read_state(before) != subject.known
        url, form = logout_of(self._service.base_url, subject)
        response = self._http.request("POST", url, fields=form, encode_multipart=False)
        self.figures.checks += 1
        self.figures.lost["logout sent again"] += 1
        has_one_effect = response.status == 200
        if is_done:
            after = read_state(self._get(subject.path))
            has_one_effect = response.status == 400 and after == read_state(before)
        if not has_one_effect:
            self.figures.wrong_here.append(
                f"{subject.path}: {response.status} for an event that was done: {is_done}"
            )

    def _use_sessions(self) -> None:
        """Refresh the sessions from before the kill: an action ends them, and nothing else does."""
        app = self._actors[0].subjects[-1]
        for subject in self._subjects[::SESSION_OF_EACH]:
            session = subject.session
            if session is not None and not {subject.uncertain, app.uncertain} & ENDING:
                self.figures.checks += 1
                is_live = self._refresh(session)
                if is_live != (session.endings == subject.endings + app.endings):
                    self.figures.wrong_here.append(f"{subject.path}: session live: {is_live}")
                self.figures.sessions["live" if is_live else "ended"] += 1

    def _refresh(self, session: Session) -> bool:
        response = self._http.request(
            "POST",
            f"{self._service.base_url}/oauth/token",
            fields={"grant_type": "refresh_token", "refresh_token": session.refresh_token},
            encode_multipart=False,
        )
        assert response.status in {200, 400}, response.data
        return response.status == 200

    def _open_sessions(self) -> None:
        """Open a session of each of these users, unless they are suspended."""
        sessions, app = sessions_on(self._database, system_clock), self._actors[0].subjects[-1]
        for subject in self._subjects[::SESSION_OF_EACH]:
            subject.session = None
            if subject.user_id is not None and not subject.known[1]:
                with self._database.write() as tx:
                    grant = open_session(tx, sessions, subject.user_id)
                subject.session = Session(grant.refresh_token, subject.endings + app.endings)

    def _try_to_mint(self, subject: Subject) -> None:
        """Request a token with a sign-in from before the cut-off. The service must refuse it."""
        cut_off, suspended, _ = subject.known
        if cut_off is None:
            return
        body = {"user_id": subject.user_id or BYSTANDER, "auth_time": cut_off - 1}
        response = self._http.request(
            "POST", f"{self._service.base_url}/v1/token", headers=self._credentials, json=body
        )
        self.figures.checks += 1
        expected = "user_suspended" if suspended else "sign_in_required"
        if subject.erased:
            expected = "user_erased"
        if response.json().get("code") != expected:
            self.figures.wrong_here.append(f"{subject.path} minted: {response.data!r}")

    def _recover(self) -> None:
        faults = self._stream.faults
        assert isinstance(faults, RandomFaults)
        self.figures.calls = len(self._stream.calls.all())
        self.figures.faults = Counter({str(kind): count for kind, count in faults.met.items()})
        faults.share = 0.0
        faults.clear()
        self._at_stream.wait_for_delivery(hurry=self._hurry)
        for subject in self._subjects:
            self.figures.compared += 1
            self._at_stream.compare(subject)

    def _count(self) -> None:
        for subject in self._subjects:
            self.figures.actions.update(subject.done)
            moves = {"revoke", "log_out", "suspend", "undo"}
            actions = [item for item in subject.done if item in moves]
            for first, second in itertools.pairwise(actions):
                if (first == "undo") != (second == "undo"):
                    self.figures.pairs[
                        UNDO_THEN_ACTION if first == "undo" else ACTION_THEN_UNDO
                    ] += 1

    def _get(self, path: str) -> Any:
        response = self._http.request(
            "GET", self._service.base_url + path, headers=self._credentials
        )
        assert response.status == 200, response.data
        return response.json()
