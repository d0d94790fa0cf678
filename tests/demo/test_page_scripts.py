"""The scripts of the page have the types that they and the packages declare."""

import subprocess
from pathlib import Path

from testing.demo.site import PAGE
from testing.node import NODE, install_packages


def test_scripts_of_the_page_have_no_type_error() -> None:
    compiler = install_packages() / "typescript" / "bin" / "tsc"
    ended = subprocess.run(
        [NODE, compiler, "-p", Path(__file__).parent], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_scripts_of_the_page_have_under_300_lines() -> None:
    for script in PAGE.glob("*.js"):
        assert len(script.read_text().splitlines()) < 300, script.name
