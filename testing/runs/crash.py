"""
Acts survive crashes, here and at Stream: `python -m proofs.crash --kills 200`.

Backends revoke, undo, suspend, reinstate and set profiles without pause, while the service is
killed at random moments and Stream fails one call in three: it refuses, hangs, cuts its answer, or
applies the call long after. Proved is that every act that was answered is in force after the
restart, and that Stream ends in the right state for each user.
"""

import contextlib
import json
import random
import tempfile
from pathlib import Path

from testing.doubles.faults import RandomFaults
from testing.doubles.stream import StreamDouble
from testing.postgres import PostgresServer
from testing.runs.crash_figures import Figures
from testing.runs.crash_run import LATEST, Proof
from testing.runs.fleet import migrated
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tokensvc.keys.vault import Vault

_SHARE = 1 / 3
"""Of the calls to Stream that fail."""


def prove(kills: int, *, database: str = "sqlite", seed: int = 0, hurry: bool = False) -> Figures:
    """
    Kill so many times.

    Args:
        kills: Each of the master and its workers at once.
        database: `sqlite` or `postgresql`; the server itself stays up.
        seed: Of the moments, the acts and Stream's failures, as far as threads let it.
        hurry: In the end, let everything get older instead of waiting until it is.
    """
    faults = RandomFaults(random.Random(seed), _SHARE, LATEST)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-run-")))
        stream = stack.enter_context(
            StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}, faults=faults)
        )
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_WORKERS": "2",
            "TOKENSVC_LIMITS__SERVICE": "1000000/minute",
            "TOKENSVC_DATABASE_URL": f"sqlite:///{folder / 'tokensvc.db'}",
        }
        if database == "postgresql":
            server = PostgresServer()
            stack.callback(server.remove)
            settings["TOKENSVC_DATABASE_URL"] = migrated(server.fresh_url())
            settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([Vault.generate_key()])
        proof = Proof(folder, stream, settings, seed=seed, hurry=hurry)
        stack.callback(proof.close)
        proof.run(kills)
    return proof.figures
