"""
The hook for code that is about to wait for something outside the process.

Call `may_block()` before each wait: for a database server, a lock of another process, a cache, an
HTTP server. The worker of `tokensvc.server` then lets another thread read from its clients. Under
any other server, and in a thread that serves no client, the call does nothing.
"""

from collections.abc import Callable


def _do_nothing() -> None:
    pass


_hook: Callable[[], None] = _do_nothing


def may_block() -> None:
    """Announce a wait."""
    _hook()


def set_hook(hook: Callable[[], None]) -> None:
    """Call `hook` at each `may_block()` from now on; for the server, once per process."""
    global _hook  # noqa: PLW0603 - one hook per process is the purpose
    _hook = hook
