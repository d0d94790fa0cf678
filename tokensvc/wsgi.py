"""The WSGI application: `gunicorn -c python:tokensvc.gunicorn_conf tokensvc.wsgi:app`."""

import atexit

from tokensvc.app import mount, startup
from tokensvc.app.process import Process

_services = startup.process_services()
_process = Process(_services)
_process.start()
# Without it, an interrupted call to Stream would be repeated twice, a minute apart, and the usage
# since the last write would be lost.
atexit.register(_process.stop)

app = mount.build_app(_services)
