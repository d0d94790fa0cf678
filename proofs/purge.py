"""Prove at length that the purge of ended sessions does not delay mints."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import purge


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("purge")
    options.add_argument("--sessions", type=int, default=1_000_000, help="number to purge")
    options.add_argument("--seconds", type=float, default=60, help="duration of the load before")
    options.add_argument("--database", choices=DATABASES, action="append")
    given = options.parse_args()
    runs = (
        purge.prove(database, sessions=given.sessions, seconds=given.seconds)
        for database in given.database or DATABASES
    )
    return report("purge", runs)


if __name__ == "__main__":
    sys.exit(main())
