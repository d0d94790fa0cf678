"""Prove at length that rotation under load fails no request."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import rotation


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("rotation")
    options.add_argument("--seconds", type=float, default=60, help="duration of the load")
    options.add_argument("--database", choices=DATABASES, default="postgresql")
    given = options.parse_args()
    return report("rotation", [rotation.prove(given.seconds, database=given.database)])


if __name__ == "__main__":
    sys.exit(main())
