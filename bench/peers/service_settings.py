"""
Print the service's own gunicorn settings as JSON, for the peers to run under.

A process of its own: the peers shall not carry the service's imports, which cost memory and time.
"""

import json
from typing import Any

from gunicorn.config import KNOWN_SETTINGS

from tokensvc import gunicorn_conf

_OF_THE_SERVICE = {"bind", "logger_class", "proc_name", "wsgi_app"}


def plain_settings() -> dict[str, Any]:
    """Give the settings that are values; hooks and classes of the service stay with it."""
    settings: dict[str, Any] = {"worker_class": "gthread"}
    for setting in KNOWN_SETTINGS:
        value = getattr(gunicorn_conf, setting.name, None)
        if isinstance(value, str | int | float | list) and setting.name not in _OF_THE_SERVICE:
            settings.setdefault(setting.name, value)
    return settings


if __name__ == "__main__":
    print(json.dumps(plain_settings()))
