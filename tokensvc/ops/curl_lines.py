"""A `curl` command for an operation of the contract, from its examples."""

import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

_CREDENTIALS = {
    "userToken": ["-H", '"Authorization: Bearer $TOKEN"'],
    "serviceClient": ["-u", '"$CLIENT"'],
}
"""Arguments by security scheme. Where a credential is optional, the command has none."""


def curl_line(operation: dict[str, Any], path: str, method: str) -> str:
    """
    Return the command. `$URL`, `$TOKEN` and `$CLIENT` are for the reader to set.

    Args:
        path: Path with the names of its parameters, as the contract has it.
    """
    body = list(_body(operation))
    words = ["curl", "-sS"]
    if method.upper() != ("POST" if body else "GET"):
        words += ["-X", method.upper()]
    for name in next(iter(operation["security"]), {}):
        words += _CREDENTIALS[name]
    return " ".join([*words, *body, f'"$URL{_target(path, operation)}"'])


def _target(path: str, operation: dict[str, Any]) -> str:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    return path


def _body(operation: dict[str, Any]) -> Iterator[str]:
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        example = media["example"] if "example" in media else _first(media["examples"])
        if kind == "application/x-www-form-urlencoded":
            yield from ("-d", shlex.quote(urlencode(example)))
        else:
            text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
            yield from ("-H", f"'Content-Type: {kind}'", "-d", shlex.quote(text))
        return


def _first(examples: dict[str, Any]) -> Any:
    return next(iter(examples.values()))["value"]
