"""A program of `testing.warm_start` behaves as one that a new interpreter runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testing.runs.ablation import copied_tree
from testing.service import ROOT
from testing.shell import write_warm_script
from testing.waiting import has_ended, wait_until
from testing.warm_start import Program, run_program

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs the source of a script."""

    def run(source: str, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
        script = tmp_path / "script.py"
        script.write_text(source)
        return run_program([script, *arguments], cwd=tmp_path, env=environ)

    return run


@pytest.mark.parametrize(
    ("source", "status", "error"),
    [
        ("", 0, b""),
        ("raise SystemExit", 0, b""),
        ("raise SystemExit(3)", 3, b""),
        ("raise SystemExit('wrong')", 1, b"wrong\n"),
        ("1 / 0", 1, b"ZeroDivisionError"),
        ("import os; os.kill(os.getpid(), 9)", -9, b""),
    ],
)
def test_exit_status_is_that_of_the_program(
    run: Run, source: str, status: int, error: bytes
) -> None:
    ended = run(source)
    assert (ended.returncode, error in ended.stderr) == (status, True)


def test_program_has_only_what_it_was_given(run: Run, tmp_path: Path) -> None:
    """Not the environment, the folder or the descriptors of the process that forks."""
    source = (
        "import json, os, signal, sys, tempfile, threading\n"
        "print(json.dumps([dict(os.environ), os.getcwd(), sys.argv, sys.path[:2], __name__,\n"
        "    os.listdir('/proc/self/fd'), tempfile.gettempdir(), threading.active_count()]))"
    )
    environ = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    environ_seen, folder, argv, path, name, files, temporary, threads = json.loads(
        run(source, "word", **environ).stdout
    )
    assert environ_seen == environ
    assert (folder, temporary) == (str(tmp_path), str(tmp_path))
    assert argv == [str(tmp_path / "script.py"), "word"]
    assert path == [str(tmp_path), str(ROOT)]
    assert (name, threads) == ("__main__", 1)
    assert {*files} - {"3"} == {"0", "1", "2"}  # 3 reads the folder


def test_program_ends_its_threads_and_runs_its_exit_handlers(run: Run) -> None:
    ended = run(
        "import atexit, threading, time\n"
        "atexit.register(print, 'handler')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
    )
    assert ended.stdout == b"thread\nhandler\n"


def test_metrics_are_imported_in_the_environment_of_the_program(run: Run, tmp_path: Path) -> None:
    """They count in files if a variable says so, also in modules that import them."""
    source = (
        "from tokensvc.database.engine import metrics as used\n"
        "from tokensvc.telemetry import metrics\n"
        "assert used is metrics\n"
    )
    folder = tmp_path / "metrics"
    folder.mkdir()
    ended = run(source, PYTHONPATH=str(ROOT), PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert ended.returncode == 0, ended.stderr
    assert [*folder.glob("counter_*.db")]


def test_program_has_the_service_of_the_checkout_whose_tests_start_it() -> None:
    """Wherever the environment was installed from: a proof changes lines of a copy."""
    show = "import tokensvc.cli; print(tokensvc.cli.__file__)"
    start = (
        "from pathlib import Path; from testing.warm_start import run_program\n"
        "folder = Path.cwd()\n"
        "ended = run_program([folder / 'show.py'], cwd=folder, env={})\n"
        "print(ended.stdout.decode(), ended.stderr.decode())"
    )
    with copied_tree() as tree:
        (tree / "show.py").write_text(show)
        shown = subprocess.run(
            [sys.executable, "-c", start],
            cwd=tree,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.strip() == str(tree / "tokensvc" / "cli" / "__init__.py")


def test_threads_start_programs_at_the_same_time(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; sys.exit(int(sys.argv[1]))")

    def status(number: int) -> int:
        return run_program([script, str(number)], cwd=tmp_path, env={}).returncode

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(status, range(16))] == [*range(16)]


def test_programs_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Even if a signal kills it."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\nprint(os.getpid(), os.getppid(), flush=True)\ntime.sleep(99)"
    )
    source = (
        "import pathlib, time\n"
        "from testing.warm_start import Program\n"
        f"Program([{str(script)!r}], cwd=pathlib.Path(), env={{}}).wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    wait_until(lambda: all(map(has_ended, pids)), "the programs have ended")


def test_signal_after_the_end_has_no_effect(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(99)")
    program = Program([script], cwd=tmp_path, env={})
    assert program.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.01)
    os.kill(program.pid, signal.SIGTERM)
    assert program.wait(30) == -signal.SIGTERM
    program.kill()
    assert program.poll() == -signal.SIGTERM


def test_script_for_a_shell_has_the_output_status_and_signals_of_its_program(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\n"
        "print(sys.stdin.read(), *sys.argv[1:], flush=True)\n"
        "time.sleep(99) if sys.argv[2:] else sys.exit(7)"
    )
    script = tmp_path / "script"
    write_warm_script(script, program, "word")
    ended = subprocess.run([script], input=b"in", capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, b"in word\n")
    with subprocess.Popen(
        [script, "wait"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
