"""Fixtures for tests of settings."""

from pathlib import Path

import pytest


@pytest.fixture
def toml(tmp_path: Path):
    """Return a function that writes a TOML file and returns the variable that names it."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "tokensvc.toml"
        path.write_text(text, encoding="utf-8")
        return {"TOKENSVC_CONFIG": str(path)}

    return write
