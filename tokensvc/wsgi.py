"""The WSGI application: `gunicorn -c python:tokensvc.gunicorn_conf tokensvc.wsgi:app`."""

import atexit

from tokensvc.app import container, mount, startup

_services = container.build(startup.settings_of_process())
_services.start()
# A call to Stream that is cut off would have to be made twice more, a minute apart; what was used
# since the last minute would never be written.
atexit.register(_services.stop)

app = mount.build_app(_services)
