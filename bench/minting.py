"""
Mints in one process without sockets: `python -m bench.minting REQUESTS LOOPS`.

Parser, application and response, as the worker calls them, with the settings of the environment.
Each line on standard input is a number of mints; a line on standard output says that they are done.
REQUESTS is a file with a JSON array; LOOPS is added work, in rounds of an empty loop per mint.
"""

import json
import sys
from itertools import repeat
from pathlib import Path
from typing import Any

from gunicorn.config import Config

from tokensvc import gunicorn_conf
from tokensvc.app import mount, startup
from tokensvc.core.clock import system_clock
from tokensvc.http.problems import Problems
from tokensvc.server.responder import Responder

_CLIENT, _SERVER = ("127.0.0.1", 50_000), ("127.0.0.1", 8_000)


def main() -> None:
    """Mint what standard input asks for."""
    requests = iter(json.loads(Path(sys.argv[1]).read_text()))
    loops = int(sys.argv[2])
    startup.prepare_process()
    services = startup.process_services()
    app: Any = mount.build_app(services)
    responder = Responder(app, _settings(), Problems(""), system_clock)
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            response, keep = responder.respond(
                next(requests).encode(), _CLIENT, _SERVER, whole=True, keep=True
            )
            if not keep or not response.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"refused: {response[:500]!r}")
            for _ in repeat(None, loops):
                pass
        print("done", flush=True)


def _settings() -> Any:
    settings = Config()
    for name in settings.settings:
        value = getattr(gunicorn_conf, name, None)
        if isinstance(value, str | int | list):
            settings.set(name, value)
    return settings


if __name__ == "__main__":
    main()
