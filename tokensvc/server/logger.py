"""The log of gunicorn itself."""

import logging
from typing import Any

from gunicorn.glogging import Logger


class PropagatingLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn's own lines go where all others go, so that they are redacted and JSON too."""

    def _set_handler(self, log: logging.Logger, *_: Any, **__: Any) -> None:
        log.propagate = True
