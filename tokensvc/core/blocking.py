"""
The hook for code that is about to wait for something outside the process.

Call `may_block()` before each wait: for a database server, a lock of another process, a cache, an
HTTP server. The worker of `tokensvc.server` then lets another thread read from its clients. Under
any other server, and in a thread that serves no client, the call does nothing.
"""

from collections.abc import Callable


def _allow() -> bool:
    return True


_hook: Callable[[], bool] = _allow


def may_block() -> bool:
    """
    Announce a wait.

    Returns:
        False if no other thread is left to serve clients: the caller must use what it has in memory
        if it can.
    """
    return _hook()


def set_hook(hook: Callable[[], bool]) -> None:
    """Call `hook` at each `may_block()` from now on; for the server, once per process."""
    global _hook  # noqa: PLW0603 - one hook per process is the purpose
    _hook = hook
