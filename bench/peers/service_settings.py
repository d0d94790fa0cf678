"""
Print the service's gunicorn settings as JSON, for the peers.

This is a separate process, because the peers must not contain the service's imports, which cost
memory and time.
"""

import json
from typing import Any

from gunicorn.config import KNOWN_SETTINGS

from tokensvc import gunicorn_conf

_ONLY_SERVICE = {"bind", "logger_class", "proc_name", "wsgi_app"}


def plain_settings() -> dict[str, Any]:
    """Return the settings that are values, without the service's hooks and classes."""
    settings: dict[str, Any] = {"worker_class": "gthread"}
    for setting in KNOWN_SETTINGS:
        value = getattr(gunicorn_conf, setting.name, None)
        if isinstance(value, str | int | float | list) and setting.name not in _ONLY_SERVICE:
            settings.setdefault(setting.name, value)
    return settings


if __name__ == "__main__":
    print(json.dumps(plain_settings()))
