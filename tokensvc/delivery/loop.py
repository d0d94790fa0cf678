"""The loop that keeps a sender at work: in a thread of each worker, or in a process of its own."""

import threading

import structlog

from tokensvc.core.errors import Refusal
from tokensvc.delivery.sender import Sender

POLL = 0.2
"""Seconds between two looks for something to do: what a revocation waits for at most."""

TROUBLED = 2.0
"""Seconds to wait after something broke."""

_log = structlog.get_logger(__name__)


class DeliveryLoop:
    """Runs a sender until it is told to stop."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run in the background."""
        self._thread = threading.Thread(target=self.run, name="delivery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the call that is under way end, and no other begin."""
        self._stopping.set()
        self._sender.stop()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Run until `stop`; nothing else ends it."""
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = self._step()

    def _step(self) -> float:
        """Do one step, and give the seconds until the next."""
        try:
            return 0.0 if self._sender.step() else POLL
        except Refusal as refusal:
            _log.warning("delivery_paused", detail=refusal.detail, reason=refusal.reason)
        except Exception:  # noqa: BLE001 - the loop outlives whatever breaks a step
            _log.exception("delivery_broke")
        return TROUBLED
