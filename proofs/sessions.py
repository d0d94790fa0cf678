"""Prove at length that an ended session gives access to nothing."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import sessions


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("sessions")
    options.add_argument("--trials", type=int, default=10_000, help="requests after an action")
    options.add_argument("--database", choices=DATABASES, action="append")
    given = options.parse_args()
    runs = (
        sessions.prove(database, trials=given.trials) for database in given.database or DATABASES
    )
    return report("sessions", runs)


if __name__ == "__main__":
    sys.exit(main())
