"""Every dependency is pinned with its hashes, and no lock file names where it came from."""

import re

import pytest

from testing.service import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")


def pins(name):
    """Give the version of each requirement of a lock file, and check that each has a hash."""
    text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
    found = {}
    for line in filter(None, text.splitlines()):
        if line.lstrip().startswith("#"):
            continue
        pin = re.match(r"([a-z0-9.-]+)==(\S+)( ; [^-]+?)? --hash=sha256:[0-9a-f]{64}", line)
        assert pin, line
        found.setdefault(pin[1], set()).add(pin[2])
    assert found
    return found


@pytest.mark.sec(64)
@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_has_a_version_and_a_hash(name):
    """Nothing is installed that was not looked at."""
    assert len(pins(name)) > 3


@pytest.mark.sec(64)
def test_the_locks_agree():
    """What is tested is what is shipped: the development lock holds the others' versions."""
    tested = pins("requirements-dev.lock")
    for name in ("requirements.lock", "requirements-build.lock"):
        for package, versions in pins(name).items():
            assert versions <= tested[package], package


@pytest.mark.sec(64)
@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_an_index(name):
    """A lock file works with whatever index the machine is set up with."""
    assert "://" not in (ROOT / name).read_text()
