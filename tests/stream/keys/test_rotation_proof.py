"""The short form of `python -m proofs.rotation`, and failures that it notices."""

import socket
import threading

import pytest

from testing.runs.rotation import prove
from testing.runs.rotation_fleet import RotationFleet
from testing.runs.steady_load import ClosedError, Credentials, KeptConnection, Ledger, SteadyClient

pytestmark = pytest.mark.slow

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.sec(37, 47)
def test_rotation_under_load_fails_no_request():
    figures = prove(5, database="sqlite")
    assert figures.holds, "\n".join(figures.lines())


def test_rotation_in_the_wrong_order_is_noticed(monkeypatch):
    """Clients that still name a retired key lose requests."""
    roll_out = RotationFleet.roll_out

    def roll_out_no_key(fleet, **changes):
        roll_out(fleet, **{name: value for name, value in changes.items() if name != "api_key"})

    monkeypatch.setattr(RotationFleet, "roll_out", roll_out_no_key)
    figures = prove(0, database="sqlite")
    assert not figures.holds
    assert any("api_key_unknown" in failure for failure in figures.ledger.failures)


class Script:
    """A server that sends scripted responses on each connection, then closes it."""

    def __init__(self, *connections):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, args=(connections,), daemon=True)
        self._thread.start()

    def _run(self, connections):
        for responses in connections:
            connection, _ = self._listener.accept()
            with connection:
                for response in responses:
                    connection.recv(65536)
                    connection.sendall(response)

    def close(self):
        self._thread.join()
        self._listener.close()


def ask(connection):
    return connection.post("/v1/token", "Basic x", {})


def test_request_on_a_closed_kept_connection_is_repeated_once():
    server = Script([RESPONSE], [RESPONSE])
    connection = KeptConnection(server.base_url)
    assert ask(connection) == (200, b"{}", False)
    assert ask(connection) == (200, b"{}", True)
    connection.close()
    server.close()


@pytest.mark.parametrize(
    "connections",
    [
        pytest.param([[b""]], id="a new connection"),
        pytest.param([[RESPONSE], [b""]], id="the second one too"),
    ],
)
def test_new_connection_without_a_response_is_a_failure(connections):
    server = Script(*connections)
    connection = KeptConnection(server.base_url)
    for _ in connections[1:]:
        ask(connection)
    with pytest.raises(ClosedError):
        ask(connection)
    server.close()


def test_incomplete_response_is_a_failure():
    """The request may have been executed."""
    server = Script([RESPONSE, RESPONSE[:20]])
    connection = KeptConnection(server.base_url)
    ask(connection)
    with pytest.raises(ConnectionResetError):
        ask(connection)
    server.close()


def test_failed_turn_is_a_failure():
    server, ledger = Script([RESPONSE]), Ledger()
    broke = threading.Event()

    def connect(response):
        broke.set()
        raise ConnectionError("cut")

    held = Credentials("key", "Basic x")
    client = SteadyClient(
        server.base_url,
        lambda held, turn: (held.basic, {}),
        connect,
        credentials=held,
        ledger=ledger,
        interval=60.0,
    )
    client.start()
    assert broke.wait(20)
    client.stop()
    client.join()
    server.close()
    assert ledger.failures == ["broke: ConnectionError('cut')"]
    assert client.finished is held
