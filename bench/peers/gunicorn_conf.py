"""The gunicorn settings of the peers: the service's own, on another worker if the bench says so."""

import json
import os
from typing import Any

globals().update(json.loads(os.environ["BENCH_GUNICORN_SETTINGS"]))
bind = os.environ["TOKENSVC_BIND"]
worker_class = os.environ["BENCH_WORKER_CLASS"]


def post_worker_init(worker: Any) -> None:
    """Connect our worker with the peer; the others must not import the service."""
    if worker_class.startswith("tokensvc"):
        from tokensvc.app.server_hooks import server_hooks  # noqa: PLC0415 - see above

        worker.hooks = server_hooks("")
