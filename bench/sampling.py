"""Where the CPU time of this process goes, by package: a sample of the stack every millisecond."""

import signal
import time
from collections import Counter
from types import FrameType

_INTERVAL = 0.001
_STEPS = {
    "gunicorn's parser": ("gunicorn/http/",),
    "server: environment, response": ("tokensvc/server/",),
    "RS256 signature": ("jwt/", "cryptography/"),
    "credential: parse, claims, key": ("tokensvc/issuers/", "tokensvc/callers/"),
    "rate limit": ("tokensvc/limits/",),
    "standing: one read": ("tokensvc/standing/", "tokensvc/database/"),
    "request and user object, authorize, sign, body": ("tokensvc/tokens/", "tokensvc/stream/keys/"),
    "metrics": ("tokensvc/telemetry/metrics", "prometheus_client/"),
    "log line": ("tokensvc/telemetry/",),
    "Flask: request context": ("flask/", "werkzeug/"),
    "wrapper: host, body, route, headers": ("tokensvc/http/",),
}
"""Parts of file names of each step; the first one counts that a frame or its caller matches."""


class Sampler:
    """
    A sampler of the main thread, while a `with` block runs.

    Attributes:
        counts: Number of samples of each step.
        seconds: CPU time while it ran.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds = 0.0
        self._steps: dict[str, str] = {}
        signal.signal(signal.SIGPROF, self._take)

    def __enter__(self) -> None:
        self.seconds -= time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.seconds += time.process_time()

    def _take(self, _: int, frame: FrameType | None) -> None:
        step = ""
        while frame is not None and not step:
            name = frame.f_code.co_filename
            if name not in self._steps:
                self._steps[name] = _step_of(name)
            step = self._steps[name]
            frame = frame.f_back
        self.counts[step or "other"] += 1


def _step_of(file_name: str) -> str:
    return next(
        (step for step, parts in _STEPS.items() if any(part in file_name for part in parts)), ""
    )
