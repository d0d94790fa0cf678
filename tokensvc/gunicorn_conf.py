"""
The gunicorn configuration: `gunicorn -c python:tokensvc.gunicorn_conf tokensvc.wsgi:app`.

The master reads the settings before it forks, and again on HUP. Faulty ones are logged and the
former ones kept, since gunicorn stops as a whole when a new worker cannot start.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tokensvc.telemetry import multiprocess

_metrics_folder = tempfile.mkdtemp(prefix="tokensvc-metrics-")
_importer = os.getpid()


@atexit.register
def _remove_metrics_folder() -> None:
    """Remove it with the process that made it; workers inherit what runs at exit."""
    if os.getpid() == _importer:
        shutil.rmtree(_metrics_folder, ignore_errors=True)


multiprocess.prepare(_metrics_folder)  # before anything below imports prometheus_client

from tokensvc.app import startup  # noqa: E402 - as said above
from tokensvc.config.loader import Settings, SettingsError  # noqa: E402 - as said above
from tokensvc.core.errors import StartupError  # noqa: E402 - as said above
from tokensvc.database.lock import ProcessLock, hold_process_lock  # noqa: E402 - as said above
from tokensvc.server.logger import PropagatingLogger  # noqa: E402 - as said above
from tokensvc.server.worker import ProblemWorker  # noqa: E402 - as said above

_KEEPALIVE = 75
"""Seconds: longer than the idle time of load balancers (60), which else meet closed connections."""


class _Master:
    """What the master holds until it ends."""

    lock: ProcessLock | None = None


def _settings_or_exit() -> Settings:
    try:
        return startup.settings_of_process()
    except SettingsError as error:
        sys.exit(f"tokensvc does not start, because of its settings:\n{error}")


_settings = _settings_or_exit()
_metrics_bind = _settings.metrics.bind

bind = [_settings.bind, _metrics_bind] if _metrics_bind else [_settings.bind]
workers = _settings.workers
threads = _settings.threads
worker_class = ProblemWorker
logger_class = PropagatingLogger
loglevel = _settings.log.level
proc_name = "tokensvc"
keepalive = _KEEPALIVE
graceful_timeout = 30
timeout = 30
limit_request_line = 8190  # a reason of 500 characters is up to 6000 in a query
limit_request_fields = 64
# A token that is too long shall hear 401 from the application, not 431 from the parser.
limit_request_field_size = 32768
# `X-Forwarded-For` is read by the application, from the proxies of the settings alone.
forwarded_allow_ips = ""
# Its socket would lie in $HOME, which a container may not write to.
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108 - a worker's heartbeat must not wait for a disk
    worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes and unlinks the file safely


def on_starting(server: Any) -> None:  # noqa: ARG001 - gunicorn's
    """Take the lock of the SQLite file, and bring the database to where the service can start."""
    try:
        if _settings.sqlite_path is not None:
            _Master.lock = hold_process_lock(_settings.sqlite_path)
        startup.prepare(_settings)
    except StartupError as error:
        sys.exit(f"tokensvc does not start:\n{error}")


def on_reload(server: Any) -> None:  # noqa: ARG001 - gunicorn's
    """Read the settings again for the new workers."""
    startup.reload()
