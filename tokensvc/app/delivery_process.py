"""What `tokensvc worker` runs: the delivery to Stream, and its health and metrics."""

import time

from tokensvc.app.background import BackgroundLoop, active_key_loop, watch_loops
from tokensvc.app.container import Services
from tokensvc.app.mount import build_metrics_app
from tokensvc.ops.checks import delivery_checks
from tokensvc.ops.health import ReadinessLook
from tokensvc.server.side_server import SideServer
from tokensvc.telemetry import gauges

_DELIVERY_INTERVAL = 0.2
"""Seconds between two looks for due deliveries, all of which other processes make."""


class DeliveryProcess:
    """
    Delivers, and serves `/healthz`, `/readyz` and `/metrics` if `metrics.bind` is set.

    Raises:
        StartupError: The address of `metrics.bind` cannot be used.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._readiness = ReadinessLook(
            delivery_checks(
                database=services.database,
                keys=services.keys,
                deliveries=services.deliveries,
                clock_faults=services.clock_faults,
            ),
            time.monotonic,
        )
        self._loops = (
            BackgroundLoop("delivery", services.sender.step, _DELIVERY_INTERVAL),
            active_key_loop(services.active_key_check),
            *watch_loops(self._readiness, services.figures_with(issuers=None)),
        )
        bind = services.settings.metrics.bind
        self._server: SideServer | None = None
        if bind is not None:
            app = build_metrics_app(services.settings, self._readiness.last)
            self._server = SideServer(app, app.problems, bind, "metrics.bind")

    def start(self) -> None:
        """Start to deliver and to serve."""
        gauges.set_build_info()
        self._readiness.look()
        for loop in self._loops:
            loop.start()
        if self._server is not None:
            self._server.start()

    def stop(self) -> None:
        """Stop after the current call to Stream."""
        self._services.stop()
        for loop in self._loops:
            loop.stop()
        if self._server is not None:
            self._server.stop()
