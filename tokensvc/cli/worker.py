"""`tokensvc worker`: the work that no request waits for, in a process of its own."""

import signal

import click
import structlog

from tokensvc.app import container, startup

_ENDING = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


@click.command("worker", short_help="Bring revocations and profiles over to Stream.")
def worker() -> None:
    """
    Bring revocations and profiles over to Stream until told to stop.

    The service does so itself unless `worker.embedded` is off. Any number of workers may run, on
    any host that reaches the database. SIGTERM and Ctrl-C let the call that is under way end.
    SIGHUP reads files and TOML again; faulty settings are refused, and the former stay.
    It ends when `stream.delivery` is off by then.
    """
    # From the beginning, since it would end the process; what comes meanwhile waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    startup.prepare(startup.settings_of_process())
    while _deliver_until_told() == signal.SIGHUP:
        if startup.reload():
            _log.info("worker_reloaded")
    _log.info("worker_stopped")


def _deliver_until_told() -> int:
    """Deliver with the settings that are in force, and give the signal that ended it."""
    services = container.build(startup.settings_of_process())
    try:
        if not services.deliveries.delivers:
            raise click.ClickException("stream.delivery is off: there is nothing to do.")
        # Before the thread begins, which inherits it: else a signal could end the process at once.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        services.delivery_loop.start()
        _log.info("worker_started")
        return signal.sigwait((*_ENDING, signal.SIGHUP))
    finally:
        services.close()
