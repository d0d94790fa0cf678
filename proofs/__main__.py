"""Run the proofs one after another and print a table of the results: `python -m proofs`."""

import argparse
import subprocess
import sys
import time

from testing.runs import PROOFS


def main() -> int:
    """Run the proofs and print the table. Return 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description=__doc__)
    parser.add_argument("proofs", nargs="*", help=f"names of proofs: {', '.join(PROOFS)}")
    chosen = parser.parse_args().proofs or list(PROOFS)
    if unknown := [name for name in chosen if name not in PROOFS]:
        parser.error(f"unknown proof: {', '.join(unknown)}")
    rows = []
    for name in chosen:
        print(f"\n{name}: {PROOFS[name]}\n", flush=True)
        start = time.monotonic()
        ended = subprocess.run([sys.executable, "-m", f"proofs.{name}"], check=False)
        rows.append((name, ended.returncode == 0, time.monotonic() - start))
    print(f"\n{'PROOF':<12}  {'HOLDS':<5}  {'TIME':>7}  PROMISE")
    for name, holds, seconds in rows:
        print(f"{name:<12}  {'yes' if holds else 'NO':<5}  {seconds:>5.0f} s  {PROOFS[name]}")
    return 0 if all(holds for _, holds, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
