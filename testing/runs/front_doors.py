"""
Faults behind nginx and HAProxy, with the shipped configurations, fail no request.

Clients of two instances request tokens and refresh sessions without a pause, over TLS, through
both. Meanwhile an instance is killed, both are restarted one after the other, Stream is away, and
the database is away. Only then a request may be refused, and by the service itself: a problem
document with `Retry-After` and CORS headers. In each fault a user is banned through each balancer,
and requests tokens from then on. At last no instance is left, and each balancer must say so in the
same form.
"""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator

import trustme
import urllib3

from testing.database_url import migrated_settings
from testing.front_doors import FrontDoor, running_front_door
from testing.postgres import PostgresServer
from testing.runs.front_door_load import FAULTS, NO_DATABASE, ORIGIN, THREADS, Figures, Load
from testing.runs.preparation import temporary_folder
from testing.service import start_service
from testing.waiting import is_available, wait_until
from testing.world import World, running_world

BALANCERS = ("nginx", "haproxy")
REQUESTS = 300
"""Rounds of requests through each balancer in each state of a fault."""

ROUNDS = 10


def prove(requests: int = REQUESTS, pause: float = 0.0) -> list[Figures]:
    """
    Return the figures of each balancer.

    Args:
        requests: Rounds of requests through each balancer in each state of a fault.
        pause: Seconds between two rounds of a client.
    """
    with contextlib.ExitStack() as stack:
        database = PostgresServer()
        stack.callback(database.remove)
        settings = {
            "TOKENSVC_ACCOUNTS__ENABLED": "true",
            "TOKENSVC_CORS__ORIGINS": json.dumps([ORIGIN]),
            "TOKENSVC_PROXIES__TRUSTED": '["127.0.0.1/32"]',
            **migrated_settings(database.fresh_url()),
        }
        world = stack.enter_context(running_world(temporary_folder(stack), **settings))
        scene = _Scene(stack, world, database, requests)
        for name in BALANCERS:
            scene.add_balancer(stack, name, pause)
        faults = (scene.kill, scene.roll, scene.lose_stream, scene.lose_database)
        for fault, run in zip(FAULTS, faults, strict=True):
            with scene.clients(fault):
                run(fault)
        scene.stop()
        for load in scene.loads:
            load.see_no_instance()
    return [load.figures for load in scene.loads]


class _Scene:
    """Two instances on a database, and the balancers in front."""

    def __init__(
        self, stack: contextlib.ExitStack, world: World, database: PostgresServer, requests: int
    ) -> None:
        self.loads: list[Load] = []
        self._world = world
        self._database = database
        self._requests = requests
        self._services = [world.service, start_service(world.folder, **world.settings)]
        stack.callback(self.stop)
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(world.folder / "ca.pem"))

    def add_balancer(self, stack: contextlib.ExitStack, name: str, pause: float) -> None:
        """Start a balancer."""
        folder = self._world.folder / name
        folder.mkdir()
        addresses = [service.base_url.removeprefix("http://") for service in self._services]
        certificate = self._authority.issue_cert("127.0.0.1")
        door = stack.enter_context(running_front_door(name, folder, addresses, certificate))
        authority = str(self._world.folder / "ca.pem")
        self.loads.append(Load(door, authority, self._world, pause))

    @contextlib.contextmanager
    def clients(self, fault: str) -> Iterator[None]:
        """Send requests through all balancers until the block ends."""
        is_over = threading.Event()
        threads = [
            threading.Thread(target=load.run, args=(fault, number, is_over))
            for load in self.loads
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        try:
            self._wait_for_requests()
            yield
            self._wait_for_requests()
        finally:
            is_over.set()
            for thread in threads:
                thread.join()

    def kill(self, fault: str) -> None:
        """Freeze an instance that has requests, and kill it later."""
        service = self._services[0]
        for pid in (service.process.pid, *service.worker_pids()):
            os.kill(pid, signal.SIGSTOP)
        self._wait_until_stuck()
        self._wait_for_requests()  # the balancers leave it while it is frozen
        service.kill()
        self._ban(fault)
        self._wait_for_requests()
        self._start_again(0)

    def roll(self, fault: str) -> None:
        for number, service in enumerate(self._services):
            service.stop()
            self._start_again(number)
        self._ban(fault)

    def lose_stream(self, fault: str) -> None:
        self._world.stream.faults.refuse(times=None)
        self._ban(fault)
        self._wait_for_requests()
        self._world.stream.faults.clear()

    def lose_database(self, fault: str) -> None:
        """Wait until each health check has failed, so that no instance is ready."""
        self._ban(fault)
        self._database.stop()
        for load in self.loads:
            refused = load.figures.refused
            wait_until(lambda refused=refused: refused[NO_DATABASE], "a refusal")
        self._wait_for_state(503)
        self._wait_for_requests()
        self._database.start()
        self._wait_for_state(200)

    def stop(self) -> None:
        """Stop the instances."""
        for service in self._services:
            if service.process.poll() is None:
                service.stop()
                self._note_clients(service.log_lines())

    def _ban(self, fault: str) -> None:
        for load in self.loads:
            load.ban(fault)

    def _wait_for_requests(self) -> None:
        for load in self.loads:
            goal = load.sent + self._requests
            wait_until(lambda load=load, goal=goal: load.sent >= goal, "further requests")

    def _wait_until_stuck(self) -> None:
        """Wait until each client has a request at the instance that does not respond."""
        seen: list[int] = []

        def are_stuck() -> bool:
            before = [*seen]
            seen[:] = [load.sent for load in self.loads]
            return before == seen

        wait_until(are_stuck, "all clients wait", pause=0.5)

    def _wait_for_state(self, status: int) -> None:
        """Wait until the checks of all instances have a status, and HAProxy knows it."""
        pool = urllib3.PoolManager(retries=False, timeout=5)
        for service in self._services:
            url = f"{service.base_url}/readyz"
            wait_until(lambda url=url: pool.request("GET", url).status == status, f"is {status}")
        pool.clear()
        word = {503: "DOWN", 200: "UP"}[status]
        for load in self.loads:
            if load.door.name == "haproxy":
                wait_until(lambda load=load: _states(load.door) == {word}, f"both are {word}")

    def _start_again(self, number: int) -> None:
        service = self._services[number]
        self._note_clients(service.log_lines())
        bind = {"TOKENSVC_BIND": service.base_url.removeprefix("http://")}
        self._services[number] = start_service(self._world.folder, **self._world.settings, **bind)
        wait_until(lambda: is_available(f"{service.base_url}/readyz"), "the instance is ready")

    def _note_clients(self, lines: list[dict[str, str]]) -> None:
        found = {line["client"] for line in lines if line.get("route") == "/v1/token"}
        for load in self.loads:
            load.figures.clients |= found


def _states(door: FrontDoor) -> set[str]:
    """Return the last state of each server in HAProxy's log."""
    states: dict[str, str] = {}
    for line in door.log_path.read_text().splitlines():
        words = line.split()
        for word in ("DOWN", "UP"):
            if f"is {word}" in line and "Server" in words:
                states[words[words.index("Server") + 1]] = word
    return set(states.values())
