"""
The process behind `testing.warm_start`: it imports what programs need, and forks for each one.

A program continues as if the interpreter had just started, but with imported libraries. The console
script also finds this project imported. Others import gunicorn, `prometheus_client` and the modules
that use them again, because these two read their environment when they are imported.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

MAX_MESSAGE = 128 * 1024
_CONSOLE_SCRIPT = "tokensvc"
_READ_ENVIRONMENT = ("gunicorn", "prometheus_client")
_LIBRARIES = (
    *("gunicorn.app.wsgiapp", "gunicorn.workers.base", "alembic.command", "alembic.config"),
    *("sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite"),
)
_ACT = ("tokensvc.gunicorn_conf", "tokensvc.wsgi", "tokensvc.database.migrations")
"""Modules whose import does more than define names."""

Request = Mapping[str, Any]


def serve(listener: socket.socket) -> Request | None:
    """
    Fork for each request, and report how each program ends.

    Returns:
        The request in each forked process; `None` when standard input ends with the tests.
    """
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([0, listener.fileno(), *running], [], [])[0]:
            if ready == 0:
                for pid, _ in running.values():
                    os.kill(pid, signal.SIGTERM)
                return None
            if ready in running:
                _report(ready, *running.pop(ready))
                continue
            connection, _ = listener.accept()
            message, files, _, _ = socket.recv_fds(connection, MAX_MESSAGE, 3)
            pid = os.fork()
            if pid == 0:
                return {**json.loads(message), "files": files}
            for descriptor in files:
                os.close(descriptor)
            _send(connection, pid)
            running[os.pidfd_open(pid)] = pid, connection


def _report(descriptor: int, pid: int, connection: socket.socket) -> None:
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    with connection:
        _send(connection, os.waitstatus_to_exitcode(status))


def _send(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the client has ended
        connection.send(str(number).encode())


def preload() -> frozenset[str]:
    """
    Import libraries and this project.

    Returns:
        Names of the modules that a program other than the console script must import again.
    """
    for name in _READ_ENVIRONMENT:
        sys.modules[name] = None  # type: ignore[assignment]  # an import fails
    _import_project()
    for name in _READ_ENVIRONMENT:
        del sys.modules[name]
    independent = {*sys.modules}
    for name in _LIBRARIES:
        importlib.import_module(name)
    _import_project()
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy every page
    dependent = (*_READ_ENVIRONMENT, "tokensvc")
    return frozenset(
        name
        for name in sys.modules
        if name.partition(".")[0] in dependent and name not in independent
    )


def _import_project() -> None:
    """Import the modules of the service whose own imports do not fail."""
    service = importlib.import_module("tokensvc")
    for module in pkgutil.walk_packages(service.__path__, "tokensvc.", onerror=lambda _: None):
        if not module.name.startswith(_ACT):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def become(request: Request, dependent: frozenset[str]) -> NoReturn:
    """Run the program of a request in this process, and end it."""
    for number, descriptor in enumerate(request["files"]):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    sys.executable = request["python"]
    words = request["command"]
    os.execv = _replace
    _start(words, () if Path(words[0]).name == _CONSOLE_SCRIPT else dependent)


def _replace(path: str, words: Sequence[str]) -> NoReturn:
    """Do what `os.execv` does with Python: another program takes over this process."""
    if path != sys.executable:
        raise FileNotFoundError(path)
    names = ("tokensvc", *_READ_ENVIRONMENT)
    _start(words[1:], [name for name in sys.modules if name.partition(".")[0] in names])


def _start(words: Sequence[str], forgotten: Iterable[str]) -> NoReturn:
    _forget(forgotten)
    try:
        _run(words)
    except SystemExit as end:
        if isinstance(end.code, str):
            raise  # the interpreter prints it
        _end(end.code or 0)
    _end(0)


def _forget(names: Iterable[str]) -> None:
    """Make the next import of each module run it again."""
    for name in names:
        del sys.modules[name]
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(last, None)


def _run(words: Sequence[str]) -> None:
    """Do what the interpreter does with these words of its command line."""
    is_module = words[0] == "-m"
    sys.argv[:] = words[is_module:]
    folder = Path.cwd() if is_module else Path(words[0]).parent
    sys.path[:0] = [str(folder), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")
    if is_module:
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")


def _end(status: int) -> NoReturn:
    """End as the interpreter does, but do not free each object: that takes as long as a command."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(path: str) -> None:
    """Listen at a path, and say so when programs can be started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        dependent = preload()
        os.write(1, b"ready\n")
        request = serve(listener)
    if request is None:
        shutil.rmtree(Path(path).parent)
    else:
        become(request, dependent)


if __name__ == "__main__":
    main(sys.argv[1])
