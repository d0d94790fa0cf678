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
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.compare import NO_LIMIT
from bench.credentials import Credentials, make_key_pair
from bench.measure import request
from bench.systems import SERVICE, Stage, StartError
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
    with (
        tempfile.TemporaryDirectory(prefix="tokensvc-budget-") as name,
        ThreadPoolExecutor(1) as pool,
    ):
        folder = Path(name)
        keys = make_key_pair()
        public_key_file = folder / "identity-provider.pem"
        public_key_file.write_bytes(keys.public_pem)
        credentials = Credentials(keys, pool, 1).take(_WARM_UP + mints)
        requests = folder / "requests.json"
        requests.write_text(json.dumps([request(one, 8000).decode() for one in credentials]))
        stage = Stage(folder, public_key_file, workers=1, settings=NO_LIMIT)
        environ = stage.environ(folder, 8000, SERVICE) | {"PYTHONHASHSEED": "0"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
                    f"--callgrind-out-file={folder / 'counts'}",
                    *(sys.executable, "-m", "bench.minting", str(requests), str(loops)),
                ],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            return _count_in(process, mints, folder, environ)
        except StartError as error:
            raise StartError(f"{error}\n{(folder / 'log').read_text()[-4000:]}") from error
        finally:
            process.kill()
            process.communicate()


def _count_in(
    process: subprocess.Popen[str], mints: int, folder: Path, environ: dict[str, str]
) -> int:
    _expect(process, "ready")
    _mint(process, _WARM_UP)
    _control("--instr=on", process.pid, environ)
    _control("--zero", process.pid, environ)
    _mint(process, mints)
    _control("--dump", process.pid, environ)
    text = "".join(counts.read_text() for counts in folder.glob("counts.*"))
    found = re.search(r"^totals: (\d+)", text, re.MULTILINE)
    if found is None:
        raise StartError("callgrind counted nothing")
    return int(found[1]) // mints


def _mint(process: subprocess.Popen[str], count: int) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    _expect(process, "done")


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:  # the service logs to the same stream
        if line.strip() == word:
            return
    raise StartError("the process that mints has ended")


def _control(option: str, pid: int, environ: dict[str, str]) -> None:
    subprocess.run(
        ["callgrind_control", option, str(pid)],
        env=environ,  # valgrind's pipes are in the temporary folder of the process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
