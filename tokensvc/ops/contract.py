"""The contract, `openapi.yaml`: where it is, as bytes and as data."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent.parent
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def contract_path() -> Path:
    """Give the contract's place: inside an installed package, at the root of a checkout."""
    packaged = _PACKAGE / "openapi.yaml"
    return packaged if packaged.exists() else _PACKAGE.parent / "openapi.yaml"


@cache
def contract_bytes() -> bytes:
    """Give the contract as it is written."""
    return contract_path().read_bytes()


@cache
def contract() -> dict[str, Any]:
    """Give the contract parsed."""
    parsed: dict[str, Any] = yaml.load(contract_bytes(), Loader=_Loader)  # noqa: S506 - a safe one
    return parsed
