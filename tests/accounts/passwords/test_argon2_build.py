"""The build of argon2 for x86-64-v3 is used only where it exists and the processor runs it."""

import sys

import pytest

from tokensvc.accounts.passwords import argon2_build

HASWELL = """processor\t: 0
model name\t: A processor of 2013
flags\t\t: fpu sse2 ssse3 fma cx16 movbe xsave avx f16c abm bmi1 avx2 bmi2
"""
WITHOUT_AVX2 = HASWELL.replace(" avx2", "")


@pytest.fixture
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", ["site-packages"])
    return lambda: sys.path


def choose(folder, cpuinfo):
    (folder / "cpuinfo").write_text(cpuinfo)
    argon2_build.choose_build(folder, folder / "cpuinfo")


def test_build_for_the_processor_comes_first(path, tmp_path):
    (tmp_path / "x86-64-v3").mkdir()
    choose(tmp_path, HASWELL)
    assert path() == [str(tmp_path / "x86-64-v3"), "site-packages"]


@pytest.mark.parametrize("cpuinfo", [WITHOUT_AVX2, "Features\t: fp asimd\n", ""])
def test_processor_that_cannot_run_the_build_gets_the_portable_one(path, tmp_path, cpuinfo):
    (tmp_path / "x86-64-v3").mkdir()
    choose(tmp_path, cpuinfo)
    assert path() == ["site-packages"]


def test_environment_without_the_build_gets_the_portable_one(path, tmp_path):
    choose(tmp_path, HASWELL)
    assert path() == ["site-packages"]
