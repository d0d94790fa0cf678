"""Prove at length that simultaneous refreshes give a session one next token."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import session_races


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("session_races")
    options.add_argument("--races", type=int, default=10_000, help="races of a current token")
    options.add_argument("--others", type=int, default=1_000, help="races of each other kind")
    options.add_argument("--database", choices=DATABASES, action="append")
    given = options.parse_args()
    runs = (
        session_races.prove(database, races=given.races, others=given.others)
        for database in given.database or DATABASES
    )
    return report("session_races", runs)


if __name__ == "__main__":
    sys.exit(main())
