"""`activate` and `retire` on every worker of every instance."""

import contextlib
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from testing.command_line import run_json
from testing.service import NO_LIMITS, STREAM_API_KEY, running_service
from testing.service_clients import basic_header
from tokensvc.vault.vault import Vault

ROUNDS = 3
SECRET = "a-secret-of-round-{:02}-0123456789abcdef"
HAMMERS = 8


class Hammer:
    """
    Mints without a pause from several threads, with a new connection for each request.

    Attributes:
        api_key: API key that the next requests name; `None`: none.
        seen: (start, named API key, status, response) of each request.
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
        """Wait for a number of further responses."""
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
            response = http.request(
                "POST", f"{next(self._targets)}/v1/token", headers=self._headers, json=body
            )
            self.seen.append((start, named, response.status, json.loads(response.data)))


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request, tmp_path):
    """Yield base URLs of 2 workers on SQLite, or of 2 instances of 2 workers on PostgreSQL."""
    settings = {"TOKENSVC_WORKERS": "2", **NO_LIMITS}
    instances = 1
    if request.param == "postgresql":
        settings["TOKENSVC_DATABASE_URL"] = request.getfixturevalue("migrated_postgres_url")
        settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([Vault.generate_key()])
        instances = 2
    with contextlib.ExitStack() as stack:
        services = [
            stack.enter_context(running_service(tmp_path, **settings)) for _ in range(instances)
        ]
        yield [service.base_url for service in services], tmp_path, settings


@pytest.mark.sec(37)
def test_no_token_is_signed_with_a_key_after_the_response_to_retire(fleet):
    """Or with the previous key after the response to activate, if the request names none."""
    base_urls, folder, settings = fleet
    scopes = ("--scope", "keys:write", "--scope", "tokens:mint")
    client = run_json(folder, "clients", "create", "ops", *scopes, "--vouches", **settings)
    http = urllib3.PoolManager(retries=False, timeout=30.0, headers=basic_header(client))

    def post(path, **body):
        response = http.request("POST", f"{base_urls[0]}/v1/stream-keys{path}", json=body)
        assert response.status < 300, response.data
        return json.loads(response.data), time.monotonic()

    hammer = Hammer(base_urls, basic_header(client))
    try:
        retired, activated = {}, []
        previous = None
        for number in range(ROUNDS):
            api_key = f"k{number}"
            key = post("", api_key=api_key, secret=SECRET.format(number))[0]
            hammer.wait_for(2 * HAMMERS)
            activated.append((post(f"/{key['id']}/activate")[1], api_key))
            hammer.wait_for(4 * HAMMERS)
            hammer.api_key = previous and previous["api_key"]
            hammer.wait_for(2 * HAMMERS)
            if previous is not None:
                retired[previous["api_key"]] = post(f"/{previous['id']}/retire")[1]
                hammer.wait_for(6 * HAMMERS)
            hammer.api_key = None
            previous = key
    finally:
        hammer.stop()

    context = [STREAM_API_KEY, *(f"k{number}" for number in range(ROUNDS))]
    late = [0, 0]
    for start, named, status, response in hammer.seen:
        if named is None:
            assert status == 200, response
            expected = [api_key for since, api_key in activated if since < start]
            if expected:
                late[0] += 1
                signer = context.index(response["api_key"])
                assert signer >= context.index(expected[-1]), "signed by the previous key"
        elif start > retired.get(named, float("inf")):
            late[1] += 1
            assert (status, response["code"]) == (400, "api_key_unknown"), "signed after retire"
        else:
            assert status in {200, 400}, response
    assert late[0] > ROUNDS * HAMMERS
    assert late[1] > ROUNDS * HAMMERS
