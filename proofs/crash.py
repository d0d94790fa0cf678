"""Prove at length that actions survive crashes, in the database and at Stream."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import crash


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("crash")
    options.add_argument("--kills", type=int, default=200, help="number of crashes")
    options.add_argument("--database", choices=DATABASES, default="sqlite")
    options.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    given = options.parse_args()
    return report("crash", [crash.prove(given.kills, database=given.database, seed=given.seed)])


if __name__ == "__main__":
    sys.exit(main())
