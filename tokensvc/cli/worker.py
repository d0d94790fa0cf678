"""`tokensvc worker`: delivery to Stream in a separate process."""

import signal
from contextlib import closing

import click
import structlog

from tokensvc.app import startup
from tokensvc.app.loops import ProcessKind
from tokensvc.app.process import Process
from tokensvc.app.services import Services

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (*_STOP_SIGNALS, signal.SIGHUP)

_log = structlog.get_logger(__name__)


@click.command("worker", short_help="Deliver revocations and profiles to Stream.")
def worker() -> None:
    """
    Deliver revocations and profiles to Stream until SIGTERM or Ctrl-C.

    The service itself delivers unless `worker.embedded` is off. Any number of workers may run, on
    any host that can reach the database. A worker stops after its current call to Stream. SIGHUP
    reads the settings again; invalid ones are logged, and the previous ones stay in effect. The
    worker exits if `stream.delivery` is now off.

    `/healthz`, `/readyz` and `/metrics` are on `metrics.bind`. On the host of the service, a worker
    needs another address: set TOKENSVC_METRICS__BIND for it.
    """
    # Block SIGHUP from the start, because it would end the process; one that arrives waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    services = startup.prepare_process()
    while reloaded := _deliver(services):
        services = reloaded
        _log.info("worker_reloaded")
    _log.info("worker_stopped")


def _deliver(services: Services) -> Services | None:
    """Deliver until a signal. Return the services for new settings; `None` to stop."""
    with closing(services):
        if not services.stream.deliveries.is_delivery_on:
            raise click.ClickException("`stream.delivery` is off: nothing to deliver.")
        process = Process(services, ProcessKind.WORKER)
        # Block the signals first: the threads inherit the mask, and cannot receive them instead.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        process.start()
        try:
            _log.info("worker_started")
            reloaded = None
            while reloaded is None and signal.sigwait(_SIGNALS) == signal.SIGHUP:
                reloaded = startup.reload()
            return reloaded
        finally:
            process.stop()
