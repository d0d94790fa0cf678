"""A parser for Dockerfiles, and a run of a stage in a folder."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testing.service import ROOT

_NOT_RUN = ("apt-get", "deploy/compile-argon2")
"""The first needs root; `test_shell_lines.py` runs the second."""


@dataclass
class Stage:
    """
    A stage.

    Attributes:
        steps: Instructions in order, each with its argument on one line.
    """

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        return [argument for name, argument in self.steps if name == instruction]

    @property
    def environ(self) -> dict[str, str]:
        pairs = " ".join(self.arguments("ENV"))
        return {name: value.strip('"') for name, value in re.findall(r"(\w+)=(\S+)", pairs)}


def stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile."""
    found: list[Stage] = []
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    for line in filter(None, joined.splitlines()):
        instruction, argument = line.split(None, 1)
        if instruction == "FROM":
            found.append(Stage(argument))
        else:
            found[-1].steps.append((instruction, argument))
    return found


def health_check(stage: Stage) -> list[str]:
    """Return the command of the health check. It must be a list, which runs without a shell."""
    (check,) = stage.arguments("HEALTHCHECK")
    command = json.loads(check[check.index("CMD") + 3 :])
    assert isinstance(command, list)
    return command


def context_files() -> set[Path]:
    """Return the files that `.dockerignore` permits."""
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*", "only named files are permitted"
    named = {Path(line[1:]) for line in lines if line.startswith("!")}
    assert {line for line in lines[1:] if not line.startswith("!")} <= {"**/__pycache__"}
    return named


def run_stage(stage: Stage, root: Path, environ: Mapping[str, str]) -> None:
    """Run the COPY and RUN steps of a stage in the folder `root`, with the defaults of its ARG."""
    folder = root
    environ = {**dict(argument.split("=") for argument in stage.arguments("ARG")), **environ}
    environ["PIP_PYTHON"] = f"{root}/opt/build/bin/python"
    for instruction, argument in stage.steps:
        if instruction == "WORKDIR":
            folder = root / argument.lstrip("/")
            folder.mkdir(parents=True)
        elif instruction == "COPY":
            *sources, _ = argument.split()
            for source in sources:
                _copy(source, folder)
        elif instruction == "RUN" and not argument.startswith(_NOT_RUN):
            command = argument.replace("/opt/", f"{root}/opt/")
            # With the pip of the tests: that of an older Python needs twice the time.
            command = command.replace("python -m venv ", "python -m venv --without-pip ")
            command = command.replace(f"{root}/opt/build/bin/pip", "pip")
            subprocess.run(["sh", "-eu", "-c", command], cwd=folder, env=environ, check=True)


def _copy(source: str, folder: Path) -> None:
    assert Path(source) in context_files(), f"{source} is not in the build context"
    if (ROOT / source).is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / source, folder / source, ignore=ignored)
    else:
        (folder / source).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / source, folder / source)
