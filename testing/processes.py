"""Processes that run functions of tests, without the time that imports take."""

import multiprocessing

FORK_SERVER = multiprocessing.get_context("forkserver")
FORK_SERVER.set_forkserver_preload(
    ["pytest", "testing.session_processes", "tokensvc.sessions.access_tokens.rotation"]
)
"""What a function needs that is not in the list is imported by each process."""
