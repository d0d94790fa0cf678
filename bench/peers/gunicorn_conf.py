"""The gunicorn settings of the peers: the service's own, handed over by the bench."""

import json
import os

globals().update(json.loads(os.environ["BENCH_GUNICORN_SETTINGS"]))
bind = os.environ["TOKENSVC_BIND"]
