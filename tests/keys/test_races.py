"""The promise of `activate` and `retire`, at every worker of every instance."""

import contextlib
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from testing.rotation import basic, command
from testing.service import STREAM_API_KEY, running_service
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault

ROUNDS = 6
SECRET = "a-secret-of-round-{:02}-0123456789abcdef"
HAMMERS = 8


class Hammer:
    """
    Mints without a pause, from several threads, each request on a connection of its own.

    Attributes:
        api_key: What the next requests name; `None` for nothing.
        seen: (start, what was named, status, the answer) of each request.
    """

    def __init__(self, base_urls, headers):
        self.api_key = None
        self.seen = []
        self._targets = itertools.cycle(base_urls)
        self._headers = headers | {"Connection": "close"}
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(HAMMERS)
        self._running = [self._pool.submit(self._run) for _ in range(HAMMERS)]

    def stop(self):
        self._stopped.set()
        self._pool.shutdown()
        for running in self._running:
            running.result()

    def wait_for(self, more):
        """Wait until so many requests more were answered."""
        aim = len(self.seen) + more
        while len(self.seen) < aim and not self._stopped.is_set():
            assert not any(running.done() for running in self._running), "a thread has died"
            time.sleep(0.005)

    def _run(self):
        http = urllib3.PoolManager(retries=False, timeout=30.0)
        while not self._stopped.is_set():
            named = self.api_key
            body = {"user_id": "john"} | ({} if named is None else {"api_key": named})
            start = time.monotonic()
            answer = http.request(
                "POST", f"{next(self._targets)}/v1/token", headers=self._headers, json=body
            )
            self.seen.append((start, named, answer.status, json.loads(answer.data)))


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request, tmp_path):
    """Give base URLs: 2 workers on SQLite, 2 instances of 2 workers on PostgreSQL; and a folder."""
    settings = {"TOKENSVC_WORKERS": "2", "TOKENSVC_LIMITS__SERVICE": "10000000/minute"}
    instances = 1
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        settings["TOKENSVC_DATABASE_URL"] = url
        settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([Vault.generate_key()])
        database = Database.open(url, pool_size=1)
        schema.migrate(database)
        database.close()
        instances = 2
    with contextlib.ExitStack() as stack:
        services = [
            stack.enter_context(running_service(tmp_path, **settings)) for _ in range(instances)
        ]
        yield [service.base_url for service in services], tmp_path, settings


@pytest.mark.sec(37)
def test_nothing_is_signed_with_a_key_after_retire_has_answered(fleet):
    """Nor with the former one after activate has, where none is named; whoever is asked."""
    base_urls, folder, settings = fleet
    scopes = ("--scope", "keys:write", "--scope", "tokens:mint")
    client = command(folder, "clients", "create", "ops", *scopes, "--vouches", **settings)
    http = urllib3.PoolManager(retries=False, timeout=30.0, headers=basic(client))

    def act(path, **body):
        answer = http.request("POST", f"{base_urls[0]}/v1/stream-keys{path}", json=body)
        assert answer.status < 300, answer.data
        return json.loads(answer.data), time.monotonic()

    hammer = Hammer(base_urls, basic(client))
    try:
        retired, activated = {}, []
        former = None
        for number in range(ROUNDS):
            api_key = f"k{number}"
            key = act("", api_key=api_key, secret=SECRET.format(number))[0]
            hammer.wait_for(2 * HAMMERS)
            activated.append((act(f"/{key['id']}/activate")[1], api_key))
            hammer.wait_for(4 * HAMMERS)
            hammer.api_key = former and former["api_key"]
            hammer.wait_for(2 * HAMMERS)
            if former is not None:
                retired[former["api_key"]] = act(f"/{former['id']}/retire")[1]
                hammer.wait_for(6 * HAMMERS)
            hammer.api_key = None
            former = key
    finally:
        hammer.stop()

    context = [STREAM_API_KEY, *(f"k{number}" for number in range(ROUNDS))]
    late = [0, 0]
    for start, named, status, answer in hammer.seen:
        if named is None:
            assert status == 200, answer
            expected = [api_key for since, api_key in activated if since < start]
            if expected:
                late[0] += 1
                signer = context.index(answer["api_key"])
                assert signer >= context.index(expected[-1]), "signed by the former key"
        elif start > retired.get(named, float("inf")):
            late[1] += 1
            assert (status, answer["code"]) == (400, "api_key_unknown"), "signed after retire"
        else:
            assert status in {200, 400}, answer
    assert late[0] > ROUNDS * HAMMERS
    assert late[1] > ROUNDS * HAMMERS
