"""
Print the service's own gunicorn settings as JSON, for the peers.

It runs in a process of its own: the peers must not import the service, which costs memory and time.
"""

import json
from typing import Any

from gunicorn.config import KNOWN_SETTINGS

from tokensvc import gunicorn_conf

_SERVICE_ONLY = {"bind", "logger_class", "proc_name", "worker_class", "wsgi_app"}


def plain_settings() -> dict[str, Any]:
    """Return the settings that are values, without hooks and classes."""
    settings: dict[str, Any] = {}
    for setting in KNOWN_SETTINGS:
        value = getattr(gunicorn_conf, setting.name, None)
        if isinstance(value, str | int | float | list) and setting.name not in _SERVICE_ONLY:
            settings[setting.name] = value
    return settings


if __name__ == "__main__":
    print(json.dumps(plain_settings()))
