"""The gunicorn settings of the peers: the service's own, on another worker if the bench says so."""

import json
import os

globals().update(json.loads(os.environ["BENCH_GUNICORN_SETTINGS"]))
bind = os.environ["TOKENSVC_BIND"]
worker_class = os.environ["BENCH_WORKER_CLASS"]
