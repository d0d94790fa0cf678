"""A process that stays: how its services start, stop and close."""

from collections.abc import Sequence

from tokensvc.app.build_operations import for_worker
from tokensvc.app.loops import LOOPS, LoopSpec, ProcessKind
from tokensvc.app.mount import build_metrics_app
from tokensvc.app.server_hooks import server_hooks
from tokensvc.app.services import Services
from tokensvc.core.errors import StartupError
from tokensvc.server.ports import CannotListenError
from tokensvc.server.side_server import SideServer
from tokensvc.telemetry import gauges


class Process:
    """
    The background loops of a process.

    `tokensvc worker` also serves `/healthz`, `/readyz` and `/metrics` if `metrics.bind` is set.

    Args:
        services: Services, which the caller closes.
        role: Kind of process.
        loops: Table of loops.

    Attributes:
        services: Services of this process.
        loops: Loops of this process.

    Raises:
        StartupError: The address of `metrics.bind` cannot be used.
    """

    def __init__(
        self,
        services: Services,
        role: ProcessKind = ProcessKind.SERVICE,
        loops: Sequence[LoopSpec] = LOOPS,
    ) -> None:
        is_worker = role is ProcessKind.WORKER
        self.services = for_worker(services) if is_worker else services
        services.database.begin_lease(services.settings.database.lease)
        made = [loop.build(self.services) for loop in loops if role in loop.roles]
        self.loops = [loop for loop in made if loop is not None]
        self._issuers = None if is_worker else services.issuers
        self._server = _metrics_server(self.services) if is_worker else None

    def start(self) -> None:
        """Start the loops after one readiness check, then the server of the metrics."""
        gauges.set_build_info()
        if self._issuers is not None:
            self._issuers.prepare()
        self.services.operations.readiness.probe()
        for loop in self.loops:
            loop.start()
        if self._server is not None:
            self._server.start()

    def stop(self) -> None:
        """Stop after the current call to Stream and the current step of each loop."""
        self.services.stream.sender.stop()
        for loop in self.loops:
            loop.stop()
        if self._server is not None:
            self._server.stop()


def _metrics_server(services: Services) -> SideServer | None:
    bind = services.settings.metrics.bind
    if bind is None:
        return None
    app = build_metrics_app(services.settings, services.operations.readiness.last)
    try:
        return SideServer(app, server_hooks(services.settings.public_url), bind, "metrics.bind")
    except CannotListenError as error:
        raise StartupError(str(error)) from error
