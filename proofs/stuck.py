"""Prove that a part outside that hangs or fails delays neither a response nor the return."""

import sys

from proofs.report import parser, report
from testing.name_server import NameServer
from testing.runs import stuck


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("stuck")
    options.add_argument("cases", nargs="*", help="names of cases; by default all")
    names = options.parse_args().cases or list(stuck.CASES)
    if unknown := [name for name in names if name not in stuck.CASES]:
        options.error(f"unknown case: {', '.join(unknown)}")
    if not NameServer.can_run():
        print("  only root can replace the name server: its cases are skipped")
        names = [name for name in names if "name server" not in name]
    return report("stuck", stuck.prove(names))


if __name__ == "__main__":
    sys.exit(main())
