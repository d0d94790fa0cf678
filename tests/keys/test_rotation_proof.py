"""The short form of `python -m proofs.rotation`, and that the proof can fail."""

import socket
import threading

import pytest

from testing.runs.rotation import prove
from testing.runs.rotation_fleet import Fleet
from testing.runs.steady_load import ClosedError, Credentials, KeptConnection, Ledger, SteadyClient

pytestmark = pytest.mark.slow

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.sec(37, 47)
def test_rotation_under_load_is_noticed_by_nobody():
    """While all three are changed, no request fails and Stream refuses no token."""
    figures = prove(5, database="sqlite")
    assert figures.holds, "\n".join(figures.lines())


def test_a_rotation_out_of_order_is_noticed(monkeypatch):
    """A key that is retired before clients have let go of it costs them requests."""
    ship = Fleet.ship

    def ship_no_key(fleet, **changes):
        ship(fleet, **{name: value for name, value in changes.items() if name != "api_key"})

    monkeypatch.setattr(Fleet, "ship", ship_no_key)
    figures = prove(0, database="sqlite")
    assert not figures.holds
    assert any("api_key_unknown" in failure for failure in figures.ledger.failures)


class Script:
    """A server that does to each connection what a test says: answers, or bytes, then the end."""

    def __init__(self, *connections):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, args=(connections,), daemon=True)
        self._thread.start()

    def _run(self, connections):
        for answers in connections:
            connection, _ = self._listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

    def close(self):
        self._thread.join()
        self._listener.close()


def ask(connection):
    return connection.post("/v1/token", "Basic x", {})


def test_a_kept_connection_that_was_closed_is_a_repeat():
    """The request goes again over a new one, once, and is told apart."""
    server = Script([ANSWER], [ANSWER])
    connection = KeptConnection(server.base_url)
    assert ask(connection) == (200, b"{}", False)
    assert ask(connection) == (200, b"{}", True)
    connection.close()
    server.close()


@pytest.mark.parametrize(
    "connections",
    [
        pytest.param([[b""]], id="a new connection"),
        pytest.param([[ANSWER], [b""]], id="the second one too"),
    ],
)
def test_a_new_connection_without_an_answer_is_a_failure(connections):
    """Only a kept one may have been closed just then."""
    server = Script(*connections)
    connection = KeptConnection(server.base_url)
    for _ in connections[1:]:
        ask(connection)
    with pytest.raises(ClosedError):
        ask(connection)
    server.close()


def test_an_answer_that_is_cut_off_is_a_failure():
    """Its first byte was there: the request may have been done."""
    server = Script([ANSWER, ANSWER[:20]])
    connection = KeptConnection(server.base_url)
    ask(connection)
    with pytest.raises(ConnectionResetError):
        ask(connection)
    server.close()


def test_a_turn_that_breaks_is_a_failure():
    """A client that cannot be judged at Stream proves nothing, and goes on."""
    server, ledger = Script([ANSWER]), Ledger()
    broke = threading.Event()

    def connect(answer):
        broke.set()
        raise ConnectionError("cut")

    held = Credentials("key", "Basic x")
    client = SteadyClient(
        server.base_url,
        lambda held, turn: (held.basic, {}),
        connect,
        credentials=held,
        ledger=ledger,
        pace=60.0,
    )
    client.start()
    assert broke.wait(20)
    client.stop()
    client.join()
    server.close()
    assert ledger.failures == ["broke: ConnectionError('cut')"]
    assert client.finished is held
