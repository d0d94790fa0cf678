"""Remove each line that keeps a promise, and show that a test fails without it."""

import sys

from proofs.report import parser
from testing.runs import ablation
from testing.runs.ablations import ABLATIONS


def main() -> int:
    """Try each change and print the results. Return 1 if a test passes without its line."""
    options = parser("ablation")
    options.add_argument("names", nargs="*", help="names of the lines; by default all")
    names = options.parse_args().names
    chosen = [item for item in ABLATIONS if item.name in names or not names]
    with ablation.copied_tree() as tree:
        if not ablation.run(tree, [item.test for item in chosen], expected=ablation.PASSED):
            print("The tests fail without a change: no line was tried.")
            return 1
        noticed = 0
        for item in chosen:
            is_noticed = ablation.is_noticed(tree, item)
            noticed += is_noticed
            result = "test failed" if is_noticed else "TEST PASSED"
            print(f"{result}: {item.name}, {item.test}", flush=True)
    print(f"ablation: {noticed} of {len(chosen)} tests fail without their line")
    return 0 if noticed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
