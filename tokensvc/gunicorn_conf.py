"""
The gunicorn configuration: `gunicorn -c python:tokensvc.gunicorn_conf tokensvc.wsgi:app`.

The master reads the settings and the key files before it forks, and again on HUP; a worker reads
none. Invalid ones are logged and the previous ones stay, because gunicorn stops completely if a new
worker cannot start.
"""

import sys
from pathlib import Path
from typing import Any

from tokensvc.telemetry import multiprocess

multiprocess.prepare()  # before anything below imports prometheus_client

from tokensvc.app import startup  # noqa: E402 - see above
from tokensvc.app.server_hooks import server_hooks  # noqa: E402 - see above
from tokensvc.config.loader import Settings, SettingsError  # noqa: E402 - see above
from tokensvc.core.errors import StartupError  # noqa: E402 - see above
from tokensvc.database.sqlite import hold_process_lock  # noqa: E402 - see above
from tokensvc.server.arbiter import ReloadingArbiter  # noqa: E402 - see above
from tokensvc.server.ports import CannotListenError, check_can_listen  # noqa: E402 - see above
from tokensvc.server.worker import LoopWorker, PropagatingLogger  # noqa: E402 - see above


def _settings_or_exit() -> Settings:
    try:
        return startup.process_settings()
    except SettingsError as error:
        sys.exit(f"tokensvc cannot start. Invalid settings:\n{error}")


_settings = _settings_or_exit()
_metrics_bind = _settings.metrics.bind

bind = [_settings.bind, _metrics_bind] if _metrics_bind else [_settings.bind]
workers = _settings.workers
threads = _settings.threads
worker_class = LoopWorker
logger_class = PropagatingLogger
loglevel = _settings.log.level
proc_name = "tokensvc"
worker_connections = _settings.max_connections
keepalive = _settings.keep_alive
graceful_timeout = _settings.stop_timeout
timeout = 30
limit_request_line = 8190  # a reason of 500 characters needs up to 6000 in a query
limit_request_fields = 64
# Let the application reject oversized tokens with 401; gunicorn would send 431.
limit_request_field_size = 32768
# The application itself reads `X-Forwarded-For`, only from the proxies in the settings.
forwarded_allow_ips = ""
# The socket would be in $HOME, which may not be writable in a container.
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108 - a worker's heartbeat must not wait for a disk
    worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn creates and unlinks the file safely


def on_starting(server: Any) -> None:
    """Lock the SQLite file, check the addresses and prepare the database."""
    server.__class__ = ReloadingArbiter  # gunicorn has no setting for the class of its master
    try:
        if _settings.sqlite_path is not None:
            hold_process_lock(_settings.sqlite_path)  # until the master ends
        if server.cfg.bind == bind:  # otherwise an option of gunicorn overrides the settings
            for address, setting in zip(bind, ("bind", "metrics.bind"), strict=False):
                check_can_listen(address, setting)
        startup.create_database(_settings)
        startup.prepare_process().close()
    except (StartupError, CannotListenError) as error:
        sys.exit(f"tokensvc cannot start:\n{error}")


def on_reload(server: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Read the settings and the key files again, for the new workers."""
    services = startup.reload()
    if services is not None:
        services.close()


def post_worker_init(worker: Any) -> None:
    """Connect the worker with the service that it has loaded."""
    worker.hooks = server_hooks(startup.process_settings().public_url)
