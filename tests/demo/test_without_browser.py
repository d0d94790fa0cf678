"""What needs no browser: the scripts of the page, and a start that is refused."""

import socket
import subprocess
import sys
from pathlib import Path

from testing.node import NODE, install_packages
from testing.service import ROOT


def test_scripts_of_the_page_have_no_type_error() -> None:
    compiler = install_packages() / "typescript" / "bin" / "tsc"
    ended = subprocess.run(
        [NODE, compiler, "-p", Path(__file__).parent], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def start_demo(bind: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testing.demo", "--bind", bind]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_demo_on_every_interface_is_refused() -> None:
    """The page and the two servers need one address that browsers know."""
    ended = start_demo("0.0.0.0:8080")
    assert ended.returncode == 2
    assert "name one address of this machine" in ended.stderr


def test_port_in_use_is_refused_with_a_command_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = start_demo(f"127.0.0.1:{port}")
    assert ended.returncode == 1
    assert f"make demo DEMO_BIND=127.0.0.1:{port + 1}" in ended.stderr
