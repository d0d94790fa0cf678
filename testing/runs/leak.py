"""
Nobody mints after a revocation has answered: `python -m proofs.leak --trials 10000`.

Users are revoked or suspended, each once, by any worker. The instant that the answer arrives every
worker of every instance is asked for a token with a credential that the act covers. Some requests
are under way meanwhile: what they get is a token that Stream refuses once it has been told. Then
everyone is revoked, again and again, and taken back.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from testing.runs.fleet import Fleet, Line, Response, running_fleet

DATABASES = ("postgresql", "sqlite")
CODES = {"revocation": "sign_in_required", "suspension": "user_suspended"}
EVERYONE = "everyone"
_BEFORE, _AFTER, _ACTING = range(3)
"""The lines to each worker: for requests before the answer and after it, and for the acts."""
_COMMIT = 0.01
"""Seconds within which most acts are committed, so that requests meet them at every stage."""


@dataclass
class Figures:
    """
    What is proved of one database.

    Attributes:
        workers: Of all instances.
        acts: By kind.
        answers: Those to requests after the act, by kind and code.
        wanted: Trials of each kind.
        under_way: Tokens of requests that were under way, by user.
        accepted: Tokens of these that Stream takes after it was told.
    """

    database: str
    workers: int
    wanted: dict[str, int]
    acts: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    under_way: dict[str, list[str]] = field(default_factory=dict)
    accepted: int = 0
    seconds: float = 0.0

    def trials(self, kind: str) -> int:
        """Count those that were refused because of the act, and those that minted."""
        return self.answers[kind, _code(kind)] + self.answers[kind, "minted"]

    def leaks(self, kind: str) -> int:
        return self.answers[kind, "minted"]

    @property
    def holds(self) -> bool:
        """Whether nothing leaked, in as many trials as were wanted, with requests under way."""
        return (
            all(self.trials(kind) >= count for kind, count in self.wanted.items())
            and not any(self.leaks(kind) for kind in self.wanted)
            and bool(self.under_way)
            and not self.accepted
        )

    def lines(self) -> Iterator[str]:
        """Write them for people."""
        yield f"{self.database}, {self.workers} workers, {self.seconds:.0f} s"
        for kind in self.wanted:
            others = {
                code: count
                for (of, code), count in self.answers.items()
                if of == kind and code not in {_code(kind), "minted"}
            }
            yield (
                f"  {kind}: {self.acts[kind]} acts, {self.trials(kind)} trials, "
                f"{self.leaks(kind)} mints" + (f", not counted: {others}" if others else "")
            )
        tokens = sum(len(tokens) for tokens in self.under_way.values())
        yield f"  under way: {tokens} tokens, of which Stream takes {self.accepted} afterwards"


def prove(database: str, *, trials: int, everyone: int) -> Figures:
    """
    Try to leak.

    Args:
        database: `sqlite`, one instance of two workers; `postgresql`, two of them.
        trials: Of each kind of act.
        everyone: Acts against everyone.
    """
    wanted = {"revocation": trials, "suspension": trials, EVERYONE: everyone * 50}
    start = time.monotonic()
    with running_fleet(database, lines=3) as fleet:
        figures = Figures(database, len(fleet.lines), wanted)
        cut_offs: dict[str, int] = {}
        workers = itertools.cycle(fleet.lines)
        for kind in CODES:
            while figures.trials(kind) < trials and figures.acts[kind] < trials:
                user_id = f"{kind}-{figures.acts[kind]}"
                cut_offs[user_id] = _act(fleet, figures, kind, user_id, next(workers)[_ACTING])
        fleet.wait_for_delivery(cut_offs)
        figures.accepted = sum(
            fleet.refusal(token) != 40 for tokens in figures.under_way.values() for token in tokens
        )
        for _ in range(everyone):
            _act_on_everyone(fleet, figures, next(workers)[_ACTING])
    figures.seconds = time.monotonic() - start
    return figures


def _act(fleet: Fleet, figures: Figures, kind: str, user_id: str, acting: Line) -> int:
    """Revoke or suspend a user in the middle of requests, ask every worker, give the cut-off."""
    fleet.know(user_id)
    credential = fleet.sign_in(user_id)
    method, path = ("POST", "revocations") if kind == "revocation" else ("PUT", "suspension")
    acting.send(method, f"/v1/users/{user_id}/{path}", fleet.operator)
    time.sleep(random.uniform(0, _COMMIT))
    under_way = [_ask(lines[_BEFORE], credential) for lines in fleet.lines]
    act = acting.answer()
    asked = [_ask(lines[_AFTER], credential) for lines in fleet.lines]
    assert act.status == 200, act
    figures.acts[kind] += 1
    for line in asked:
        figures.answers[kind, line.answer().code] += 1
    tokens = [answer.json["token"] for answer in _answers(under_way) if answer.status == 200]
    if tokens:
        figures.under_way[user_id] = tokens
    cut_off: int = act.json["tokens_valid_after"]
    return cut_off


def _act_on_everyone(fleet: Fleet, figures: Figures, acting: Line) -> None:
    """Revoke everyone, ask fifty times over all workers, and take it back."""
    credentials = [fleet.sign_in(f"anybody-{number}") for number in range(50)]
    lines = [line for _, line in zip(credentials, itertools.cycle(_after(fleet)), strict=False)]
    before = lines[0].ask("POST", "/v1/token", credentials[0])
    # Still under the cut-off that was taken back is as good as minted: no other one stands.
    assert before.code in {"minted", "temporarily_unavailable"}, before
    act = acting.ask("POST", "/v1/app/revocations", fleet.operator)
    for line, credential in zip(lines, credentials, strict=True):
        figures.answers[EVERYONE, line.ask("POST", "/v1/token", credential).code] += 1
    figures.acts[EVERYONE] += 1
    undo = f"/v1/app/revocations/{act.json['revocation']['id']}"
    assert acting.ask("DELETE", undo, fleet.operator).status == 200


def _after(fleet: Fleet) -> list[Line]:
    return [lines[_AFTER] for lines in fleet.lines]


def _ask(line: Line, credential: dict[str, str]) -> Line:
    return line.send("POST", "/v1/token", credential)


def _answers(lines: list[Line]) -> list[Response]:
    return [line.answer() for line in lines]


def _code(kind: str) -> str:
    return CODES.get(kind, "sign_in_required")
