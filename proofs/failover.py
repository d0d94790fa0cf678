"""
Prove at length that a failover mints for no refused user, and print how long it takes.

Its short form is `tests/cluster/test_failover.py`: one instance with one worker.
"""

import sys

from proofs.report import parser, report
from testing.runs import failover


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("failover")
    options.add_argument("--rounds", type=int, default=1, help="repetitions of each case")
    rounds = options.parse_args().rounds
    return report("failover", failover.prove([*failover.CASES] * rounds))


if __name__ == "__main__":
    sys.exit(main())
