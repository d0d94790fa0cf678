"""The contract, `openapi.yaml`: its path, bytes and content; and `llms.txt`, for agents."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent.parent
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def contract_path(name: str = "openapi.yaml") -> Path:
    """Return the path: inside an installed package, or at the root of a checkout."""
    packaged = _PACKAGE / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


@cache
def text_for_agents() -> bytes:
    """Return `llms.txt` as bytes."""
    return contract_path("llms.txt").read_bytes()


@cache
def contract_bytes() -> bytes:
    """Return the contract as bytes."""
    return contract_path().read_bytes()


@cache
def contract() -> dict[str, Any]:
    """Return the parsed contract."""
    parsed: dict[str, Any] = yaml.load(contract_bytes(), Loader=_Loader)  # noqa: S506 - a safe loader
    return parsed


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Follow references inside the contract."""
    while "$ref" in node:
        found: Any = contract()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node
