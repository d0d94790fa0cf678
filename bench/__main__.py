"""`python -m bench COMMAND`: measurements of the service, most of them next to its peers."""

import argparse
import sys

from bench import (
    accounts,
    budget,
    compare,
    memory,
    open_loop,
    parts,
    profile,
    scale,
    sessions,
    sizes,
    storm,
)
from bench.load import LoadError
from bench.systems import StartError

_COMMANDS = {
    "compare": (compare, "CPU time, switches and latency of a mint next to its peers"),
    "accounts": (accounts, "refreshes, sign-ins next to bare argon2, mints with access tokens"),
    "sessions": (sessions, "refreshes, sign-ins and tokens of services next to their peers"),
    "open": (open_loop, "requests that arrive at random: percentiles at parts of the capacity"),
    "scale": (scale, "1,000,000 revoked users against 1,000, on SQLite and PostgreSQL"),
    "sizes": (sizes, "bytes of rows and of WAL on PostgreSQL"),
    "storm": (storm, "every user requests a token once, as fast as they come"),
    "parts": (parts, "what each part of our own brings next to the stock part"),
    "memory": (memory, "memory of a worker over 200,000 requests, and CPU time when idle"),
    "profile": (profile, "where a mint and Express spend their CPU time"),
    "budget": (budget, "instructions per mint against the recorded figure"),
}


def main() -> int:
    """Run a command; 1 if a target is missed, 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        module.add_options(command)
        command.add_argument("--record", action="store_true", help="keep the results in the tree")
    options = parser.parse_args()
    try:
        status: int = _COMMANDS[options.command][0].run(options)
    except (LoadError, StartError) as error:
        print(f"Nothing was measured: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
