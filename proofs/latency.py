"""Measure at length how long the old authority works after an action, layer by layer."""

import sys

from proofs.report import DATABASES, parser, report
from testing.runs import latency


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("latency")
    options.add_argument("--trials", type=int, default=10, help="users of each kind of action")
    options.add_argument("--database", choices=DATABASES, default="postgresql")
    given = options.parse_args()
    return report("latency", [latency.prove(given.database, trials=given.trials)])


if __name__ == "__main__":
    sys.exit(main())
