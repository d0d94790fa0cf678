"""`tokensvc serve`: the service under gunicorn."""

import os
import sys

import click

GUNICORN = ("-m", "gunicorn", "-c", "python:tokensvc.gunicorn_conf", "tokensvc.wsgi:app")
"""Arguments for Python to start the service."""

_HEAP = (
    "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"
    ":glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864"
)
"""
One heap for all threads, in huge pages if the kernel has them for programs that ask (glibc 2.35).

A password hash reads 19 MiB in random order: with small pages it takes a tenth longer. The
thresholds, in bytes, keep the memory of a hash for the next one.
"""
_MALLOC_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_")
"""Starts of the variables with which an operator sets the heap; then `_HEAP` is not used."""


@click.command("serve")
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on, instead of `bind`.")
@click.option(
    "--unsafe-restored",
    is_flag=True,
    help="Start on a restored database without `after-restore`; only in development.",
)
def serve(bind: str | None, *, unsafe_restored: bool) -> None:
    """
    Run the service until SIGTERM or Ctrl-C.

    The start migrates an SQLite database; `tokensvc migrate` migrates PostgreSQL.
    """
    if bind is not None:
        os.environ["TOKENSVC_BIND"] = bind
    if unsafe_restored:
        os.environ["TOKENSVC_UNSAFE_RESTORED"] = "true"
    # Gunicorn replaces this process, so that signals reach its master, also as PID 1.
    command = (sys.executable, *GUNICORN)
    if not any(name.startswith(_MALLOC_SETTINGS) for name in os.environ):
        os.environ["GLIBC_TUNABLES"] = _HEAP
    os.execv(command[0], command)  # noqa: S606 - no shell, no user input
