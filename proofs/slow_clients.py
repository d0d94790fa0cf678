"""Prove that slow clients do not delay others, also with Debian's `slowhttptest`."""

import os
import shutil
import subprocess
import sys

from proofs.report import parser, report
from testing.runs import slow_clients


def main() -> int:
    """Run the proof. Return the exit status."""
    options = parser("slow_clients")
    options.add_argument("--seconds", type=float, default=15, help="duration of each attack")
    given = options.parse_args()
    if not _has_tool():
        print(f"  {slow_clients.TOOL} cannot be installed: its three attacks are skipped")
    return report("slow_clients", slow_clients.prove(given.seconds))


def _has_tool() -> bool:
    """Install the tool if it is missing. Return whether it is installed."""
    if shutil.which(slow_clients.TOOL) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for arguments in (("update",), ("install", "--yes", slow_clients.TOOL)):
            subprocess.run(["apt-get", "--quiet=2", *arguments], check=False)
    return shutil.which(slow_clients.TOOL) is not None


if __name__ == "__main__":
    sys.exit(main())
