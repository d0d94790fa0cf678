"""Prove at length that sessions follow their model in random interleavings."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import session_model


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("session_model")
    options.add_argument("--interleavings", type=int, default=2_000, help="orders of requests")
    options.add_argument("--database", choices=DATABASES, action="append")
    given = options.parse_args()
    runs = (
        session_model.prove(database, interleavings=given.interleavings)
        for database in given.database or DATABASES
    )
    return report("session_model", runs)


if __name__ == "__main__":
    sys.exit(main())
