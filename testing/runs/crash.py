"""
Actions survive crashes, in the database and at Stream.

Backends revoke, undo, suspend, reinstate, renew, erase and set profiles continuously, and an
identity provider sends logouts. Meanwhile the service is killed at random moments, and Stream fails
one call in three: it refuses the call, does not respond, cuts off the response, or applies the call
much later. After each restart every action that got a response must be in effect, for tokens and
for sessions, and a logout whose response was lost has one effect, however often it is sent. At the
end Stream must have the right state of each user, and no device that an action in effect removes.

Many kills meet the deliveries of some user between two steps: the hint and the devices, two
devices, the devices and the erasure, or the erasure and the end of Stream's task. A run at length
must meet all.
"""

import contextlib
import json
import random

from testing.doubles.events import AUDIENCE
from testing.doubles.faults import RandomFaults
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.runs.crash_figures import Figures
from testing.runs.crash_run import CrashRun
from testing.runs.crash_stream import LATEST
from testing.runs.preparation import database_settings, temporary_folder
from testing.service import NO_LIMITS, STREAM_API_KEY, STREAM_API_SECRET
from testing.sessions import ENCRYPTION_KEY
from tokensvc.stream.api import HINT_ENDPOINT

_FASTER = (HINT_ENDPOINT, "GET /devices", "DELETE /devices", "POST /users/delete")
"""Endpoints with a high limit."""
_SHARE = 1 / 3
"""Fraction of the calls to Stream that fail."""


def prove(kills: int, *, database: str = "sqlite", seed: int = 0, hurry: bool = False) -> Figures:
    """
    Kill the service repeatedly.

    Args:
        kills: Number of kills. Each kills the master and its workers.
        database: `sqlite` or `postgresql`. The server itself keeps running.
        seed: Seed of the moments, actions and faults. Threads still make runs differ.
        hurry: Whether to change the times of deliveries at the end instead of waiting.
    """
    faults = RandomFaults(random.Random(seed), _SHARE, LATEST)
    with contextlib.ExitStack() as stack:
        folder = temporary_folder(stack)
        stream = stack.enter_context(
            StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}, faults=faults)
        )
        # With the documented ones, a run would end long before most devices are removed.
        stream.limits.per_minute |= dict.fromkeys(_FASTER, 6000)
        issuer = stack.enter_context(IssuerDouble())
        issuer.issuer = "https://id.acme.example"
        settings = {
            "TOKENSVC_ISSUERS": json.dumps([issuer.config(events={"audience": AUDIENCE})]),
            "TOKENSVC_SHARED_USER_IDS": "true",
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_WORKERS": "2",
            "TOKENSVC_ACCOUNTS__ENABLED": "true",
            **NO_LIMITS,
            **database_settings(stack, folder, database),
            "TOKENSVC_ENCRYPTION_KEYS": json.dumps([ENCRYPTION_KEY]),
        }
        crash_run = CrashRun(folder, stream, issuer, settings, seed=seed, hurry=hurry)
        stack.callback(crash_run.close)
        crash_run.run(kills)
    return crash_run.figures
