"""Prove at length that faults behind the shipped balancers fail no request."""

import sys

from proofs.report import parser, report
from testing.front_doors import program
from testing.runs import front_doors


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("front_doors")
    options.add_argument(
        "--requests", type=int, default=front_doors.REQUESTS, help="requests in each state"
    )
    options.add_argument("--rounds", type=int, default=front_doors.ROUNDS, help="repetitions")
    given = options.parse_args()
    if missing := [name for name in front_doors.BALANCERS if not program(name)]:
        options.error(f"not installed: {', '.join(missing)}")
    runs = (front_doors.prove(given.requests) for _ in range(given.rounds))
    return report("front_doors", (figures for run in runs for figures in run))


if __name__ == "__main__":
    sys.exit(main())
