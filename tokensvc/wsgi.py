"""The WSGI application: `gunicorn -c python:tokensvc.gunicorn_conf tokensvc.wsgi:app`."""

import atexit

from tokensvc import bootstrap

_services = bootstrap.build(bootstrap.settings_of_process())
_services.start()
# A call to Stream that is cut off would have to be made twice more, a minute apart.
atexit.register(_services.delivery_loop.stop)

app = bootstrap.build_app(_services)
