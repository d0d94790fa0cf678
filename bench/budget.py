"""
Instructions per mint, counted by callgrind, against the figure in budget.json.

A count repeats within 0.3 %, also on a busy machine, where times do not repeat. It depends on the
version of Python: for a version without a figure it is printed and not judged.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys

from bench.mint_process import MintProcess, mint_process
from bench.systems import StartError
from testing.service import ROOT

BUDGET = ROOT / "bench" / "budget.json"
TOLERANCE = 0.10
_WARM_UP = 200
_INSTRUCTIONS_OF_LOOP = 73
"""Instructions of one round of an empty `for` loop, about."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--mints", type=int, default=300, help="mints that are counted")
    parser.add_argument(
        "--added", type=int, default=0, help="instructions to add, to see the budget fail"
    )


def run(options: argparse.Namespace) -> int:
    """Count, and return 1 if a mint needs more instructions than the budget allows."""
    if shutil.which("valgrind") is None:
        raise StartError("valgrind is not installed: apt-get install valgrind")
    counted = _count(options.mints, options.added // _INSTRUCTIONS_OF_LOOP)
    figures = json.loads(BUDGET.read_text())
    python = ".".join(platform.python_version_tuple()[:2])
    if options.record:
        figures[python] = counted
        BUDGET.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    print(f"{counted:,} instructions per mint on Python {python}")
    return judge(counted, figures.get(python))


def judge(counted: int, recorded: int | None) -> int:
    """Print the comparison with the recorded figure, and return the exit status."""
    if recorded is None:
        print(f"{BUDGET.name} has no figure for this version of Python: not judged")
        return 0
    limit = int(recorded * (1 + TOLERANCE))
    share = counted / recorded - 1
    print(f"recorded: {recorded:,}; limit: {limit:,}; difference: {share:+.1%}")
    if counted > limit:
        print("Over budget. Make the mint cheaper, or record a figure: --record", file=sys.stderr)
        return 1
    return 0


def _count(mints: int, loops: int) -> int:
    valgrind = (
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
        "--callgrind-out-file={folder}/counts",
    )
    with mint_process(_WARM_UP + mints, f"--loops={loops}", prefix=valgrind) as process:
        process.mint(_WARM_UP)
        _control("--instr=on", process)
        _control("--zero", process)
        process.mint(mints)
        _control("--dump", process)
        text = "".join(counts.read_text() for counts in process.folder.glob("counts.*"))
    found = re.search(r"^totals: (\d+)", text, re.MULTILINE)
    if found is None:
        raise StartError("callgrind counted nothing")
    return int(found[1]) // mints


def _control(option: str, process: MintProcess) -> None:
    subprocess.run(
        ["callgrind_control", option, str(process.pid)],
        env=process.environ,  # valgrind's pipes are in the temporary folder of the process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
