"""The service's gunicorn settings, with the change that BENCH_CHANGE names."""

import os
import time

from tokensvc.gunicorn_conf import *  # noqa: F403 - gunicorn reads the names of this module

from tokensvc.app.process import Process  # isort: skip - after the settings, as they require
from tokensvc.database.postgresql_connection import BoundedConnection
from tokensvc.database.statements import Rows

_fetch = BoundedConnection.fetch


def _fetch_later(*arguments: object) -> Rows:
    time.sleep(0.001)
    return _fetch(*arguments)  # type: ignore[arg-type]


def _start_without_a_look(process: Process) -> None:
    for loop in process.loops:
        loop.start()


if os.environ["BENCH_CHANGE"] == "delay":
    BoundedConnection.fetch = _fetch_later  # type: ignore[assignment]
else:
    Process.start = _start_without_a_look  # type: ignore[method-assign,assignment]
