"""The end of the threads around a loop."""

import socket
import threading

from tests.server.conftest import Gate, gunicorn_settings
from tokensvc.core import blocking
from tokensvc.core.clock import system_clock
from tokensvc.http.problems import Problems
from tokensvc.server.responder import Responder
from tokensvc.server.threads import ServingThreads


def test_supervisor_that_the_last_thread_wakes_sees_its_end():
    """Otherwise a stop takes another second, or a supervisor without a heartbeat never ends."""
    seen_end = threading.Event()

    def wake():
        if not serving.are_alive:
            seen_end.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serving = ServingThreads(
            [listener],
            Responder(Gate(), gunicorn_settings(), Problems(""), system_clock),
            threads=2,
            max_connections=10,
            keepalive=5,
            count=lambda: None,
            wake=wake,
        )
        serving.start()
        try:
            serving.stop()
            assert seen_end.wait(20)
        finally:
            blocking.set_hook(lambda: None)
