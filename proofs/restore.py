"""Prove at length that a restored database refuses what was refused before it was lost."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import restore


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("restore")
    options.add_argument("--kills", type=int, default=40, help="number of commands to kill")
    options.add_argument("--database", choices=DATABASES, action="append")
    options.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    given = options.parse_args()
    runs = (
        restore.prove(database, kills=given.kills, seed=given.seed)
        for database in given.database or DATABASES
    )
    return report("restore", runs)


if __name__ == "__main__":
    sys.exit(main())
