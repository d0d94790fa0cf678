"""
Mints in one process without sockets: `python -m bench.minting REQUESTS [--loops N] [--samples F]`.

Parser, application and response, as the worker calls them, with the settings of the environment.
Each line on standard input is a number of mints; a line on standard output says that they are done.
REQUESTS is a file with a JSON array. `--loops` adds work to a mint, in rounds of an empty loop.
`--samples` samples all batches but the first one, and writes where their time went.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterable
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from gunicorn.config import Config

from bench.sampling import Sampler
from tokensvc import gunicorn_conf
from tokensvc.app import mount, startup
from tokensvc.app.server_hooks import server_hooks
from tokensvc.server.responder import Responder

_CLIENT, _SERVER = ("127.0.0.1", 50_000), ("127.0.0.1", 8_000)


def main() -> None:
    """Mint what standard input asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=Path)
    parser.add_argument("--loops", type=int, default=0)
    parser.add_argument("--samples", type=Path)
    options = parser.parse_args()
    requests = iter(json.loads(options.requests.read_text()))
    startup.create_database(startup.process_settings())
    services = startup.prepare_process()
    app: Any = mount.build_app(services)
    responder = Responder(app, _settings(), server_hooks(""))
    sampler = Sampler()
    print("ready", flush=True)
    for batch, line in enumerate(sys.stdin):
        is_warm = batch > 0 and options.samples
        with sampler if is_warm else contextlib.nullcontext():
            _mint(responder, islice(requests, int(line)), options.loops)
        print("done", flush=True)
    if options.samples:
        result = {"seconds": sampler.seconds, "counts": sampler.counts}
        options.samples.write_text(json.dumps(result))


def _mint(responder: Responder, requests: Iterable[str], loops: int) -> None:
    for request in requests:
        response, keep = responder.respond(
            request.encode(), _CLIENT, _SERVER, whole=True, keep=True
        )
        if not keep or not response.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"refused: {response[:500]!r}")
        for _ in repeat(None, loops):
            pass


def _settings() -> Any:
    settings = Config()
    for name in settings.settings:
        value = getattr(gunicorn_conf, name, None)
        if isinstance(value, str | int | list):
            settings.set(name, value)
    return settings


if __name__ == "__main__":
    main()
