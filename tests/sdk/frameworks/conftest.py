"""The npm packages of the tests, and the files of `examples/` that use them."""

import shutil
from pathlib import Path

import pytest

from testing.node import install_packages
from testing.service import ROOT

FOLDER = Path(__file__).parent
EXAMPLES = ("products.ts", "useChat.ts")


@pytest.fixture(scope="package")
def packages(node: Path) -> Path:
    """Return the folder with the packages, and with the files of the examples next to them."""
    for name in EXAMPLES:
        shutil.copy(ROOT / "examples" / "javascript" / name, FOLDER)
    return install_packages(FOLDER)
