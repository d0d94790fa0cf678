"""Prove at length that a sign-in directly after a revocation works."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import second


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("second")
    options.add_argument("--offsets", type=int, default=second.OFFSETS, help="parts of a second")
    options.add_argument("--database", choices=DATABASES, action="append")
    given = options.parse_args()
    databases = given.database or DATABASES
    return report("second", (second.prove(kind, offsets=given.offsets) for kind in databases))


if __name__ == "__main__":
    sys.exit(main())
