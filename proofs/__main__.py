"""Every proof in turn, with its figures, and a table at the end: `python -m proofs`."""

import argparse
import subprocess
import sys
import time

PROOFS = {
    "leak": "nobody mints after a revocation has answered",
    "second": "signing in right after a revocation works, whenever in a second",
    "clocks": "clocks that differ and commits that take long leak nothing",
    "crash": "acts survive crashes, here and at Stream",
    "rotation": "rotation under load is noticed by nobody",
    "ablation": "each line that keeps a promise is missed by a test when it is gone",
}


def main() -> int:
    """Run them, print the table; 1 when one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description=__doc__)
    parser.add_argument("proofs", nargs="*", help=f"some of: {', '.join(PROOFS)}")
    chosen = parser.parse_args().proofs or list(PROOFS)
    if unknown := [name for name in chosen if name not in PROOFS]:
        parser.error(f"there is no proof called {', '.join(unknown)}")
    rows = []
    for name in chosen:
        print(f"\n{name}: {PROOFS[name]}\n", flush=True)
        start = time.monotonic()
        ended = subprocess.run([sys.executable, "-m", f"proofs.{name}"], check=False)
        rows.append((name, ended.returncode == 0, time.monotonic() - start))
    print(f"\n{'PROOF':<10}  {'HOLDS':<5}  {'TIME':>7}  WHAT")
    for name, holds, seconds in rows:
        verdict = "yes" if holds else "NO"
        print(f"{name:<10}  {verdict:<5}  {seconds:>5.0f} s  {PROOFS[name]}")
    return 0 if all(holds for _, holds, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
