"""`tokensvc worker`: the work that no request waits for, in a process of its own."""

import signal

import click
import structlog

from tokensvc import bootstrap, startup

_ENDING = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


@click.command("worker")
def worker() -> None:
    """
    Bring revocations and profiles over to Stream until told to stop.

    The service does so itself unless `worker.embedded` is off. Any number of workers may run, on
    any host that reaches the database. SIGTERM and Ctrl-C let the call that is under way end.
    """
    settings = startup.load_settings()
    startup.prepare(settings)
    services = bootstrap.build(settings)
    try:
        if not services.deliveries.delivers:
            raise click.ClickException("stream.delivery is off: there is nothing to do.")
        # Before the thread begins, which inherits it: else a signal could end the process at once.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        services.delivery_loop.start()
        _log.info("worker_started")
        signal.sigwait(_ENDING)
    finally:
        services.close()
    _log.info("worker_stopped")
