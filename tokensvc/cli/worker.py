"""`tokensvc worker`: delivery to Stream in a separate process."""

import signal

import click
import structlog

from tokensvc.app import startup
from tokensvc.app.loops import ProcessKind
from tokensvc.app.process import Process

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


@click.command("worker", short_help="Deliver revocations and profiles to Stream.")
def worker() -> None:
    """
    Deliver revocations and profiles to Stream until SIGTERM or Ctrl-C.

    The service itself delivers unless `worker.embedded` is off. Any number of workers may run, on
    any host that can reach the database. A stop waits for the current call to Stream. SIGHUP reads
    the settings again; invalid ones are logged, and the previous ones stay in effect. The worker
    exits if `stream.delivery` is now off.

    `/healthz`, `/readyz` and `/metrics` are on `metrics.bind`. On the host of the service, a worker
    needs another address: set TOKENSVC_METRICS__BIND for it.
    """
    # Block SIGHUP from the start, because it would end the process; one that arrives waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    startup.prepare_process()
    while _deliver_until_signal() == signal.SIGHUP:
        if startup.reload():
            _log.info("worker_reloaded")
    _log.info("worker_stopped")


def _deliver_until_signal() -> int:
    """Deliver with the current settings until a signal, and return its number."""
    services = startup.process_services()
    try:
        if not services.stream.deliveries.delivers:
            raise click.ClickException("`stream.delivery` is off: nothing to deliver.")
        process = Process(services, ProcessKind.WORKER)
        # Block the signals first: the threads inherit the mask, and cannot receive them instead.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        process.start()
        try:
            _log.info("worker_started")
            return signal.sigwait((*_STOP_SIGNALS, signal.SIGHUP))
        finally:
            process.stop()
    finally:
        services.close()
