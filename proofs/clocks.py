"""Prove at length that different clocks and slow commits leak no token."""

import sys

from proofs.report import parser, report
from testing.runs import clocks


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("clocks")
    options.add_argument("--rounds", type=int, default=10, help="actions at each instance")
    given = options.parse_args()
    return report("clocks", [clocks.prove(given.rounds)])


if __name__ == "__main__":
    sys.exit(main())
