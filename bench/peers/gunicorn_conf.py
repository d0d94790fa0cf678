"""The gunicorn settings of the peers: those of the service, from the bench."""

import json
import os

globals().update(json.loads(os.environ["BENCH_GUNICORN_SETTINGS"]))
bind = os.environ["TOKENSVC_BIND"]
