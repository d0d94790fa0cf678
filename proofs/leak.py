"""Prove at length that no token is minted after the response to a revocation."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import leak


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("leak")
    options.add_argument("--trials", type=int, default=10_000, help="trials of each action")
    options.add_argument("--everyone", type=int, default=200, help="revocations for all users")
    options.add_argument("--database", choices=DATABASES, action="append")
    given = options.parse_args()
    runs = (
        leak.prove(database, trials=given.trials, everyone=given.everyone)
        for database in given.database or DATABASES
    )
    return report("leak", runs)


if __name__ == "__main__":
    sys.exit(main())
