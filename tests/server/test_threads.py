"""The end of the threads around a loop."""

import socket
import threading

from tests.server.conftest import Gate, gunicorn_settings
from tokensvc.server.responder import Responder
from tokensvc.server.threads import ServingThreads


def test_supervisor_that_the_last_thread_wakes_sees_its_end():
    """Otherwise a stop takes another second, or a supervisor without a heartbeat never ends."""
    seen_end, gate = threading.Event(), Gate()

    def wake():
        if not serving.are_alive:
            seen_end.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serving = ServingThreads(
            [listener],
            Responder(gate, gunicorn_settings(), gate.hooks()),
            threads=2,
            max_connections=10,
            keepalive=5,
            count=lambda: None,
            wake=wake,
        )
        serving.start()
        serving.stop()
        assert seen_end.wait(20)
