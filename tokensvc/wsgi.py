"""The WSGI application: `gunicorn -c python:tokensvc.gunicorn_conf tokensvc.wsgi:app`."""

from tokensvc import bootstrap

_services = bootstrap.build(bootstrap.settings_of_process())
_services.issuers.start()

app = bootstrap.build_app(_services)
