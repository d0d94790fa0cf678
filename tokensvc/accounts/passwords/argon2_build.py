"""
Argon2, in the fastest build that this processor can run.

The wheel of argon2-cffi-bindings runs on each x86-64 processor, so it uses SSE2 only. The image has
a second build of the same source for x86-64-v3 (`deploy/compile-argon2`). Its AVX2 code needs about
half the time for a hash. The other modules import argon2 from here, so that the choice comes first.
"""

import importlib.metadata
import sys
from pathlib import Path

_FOLDER = "x86-64-v3"
_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = frozenset(("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"))
"""Flags of a processor that can run x86-64-v3, in Linux' names (x86-64 psABI, section 3.1.1)."""


def can_run_v3(cpuinfo: str) -> bool:
    """Return whether the processor that a text of `/proc/cpuinfo` describes can run x86-64-v3."""
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return set(flags.split()) >= _FLAGS


def choose_build(environment: Path, cpuinfo: Path = _CPUINFO) -> None:
    """Import the build for x86-64-v3 from now on, if there is one and the processor runs it."""
    folder = environment / _FOLDER
    if folder.is_dir() and cpuinfo.exists() and can_run_v3(cpuinfo.read_text("utf-8")):
        sys.path.insert(0, str(folder))


choose_build(Path(sys.prefix))

from argon2 import exceptions, low_level  # noqa: E402 - the build is chosen first

__all__ = ["can_run_v3", "choose_build", "describe_build", "exceptions", "low_level"]


def describe_build() -> str:
    """Return which build runs, and how to get a faster one."""
    files = importlib.metadata.distribution("argon2-cffi-bindings")
    if Path(str(files.locate_file(""))).name == _FOLDER:
        return "the build for x86-64-v3"
    # A wheel of the index is tagged manylinux, musllinux, macosx or win (PEP 600).
    if "-linux_" in (files.read_text("WHEEL") or ""):
        return "a build of this host"
    if _CPUINFO.exists() and can_run_v3(_CPUINFO.read_text("utf-8")):
        return "the portable build; `deploy/compile-argon2` makes one that needs half the time"
    return "the portable build"
