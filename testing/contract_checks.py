"""
Checks of requests and responses against `openapi.yaml`.

A response with an undeclared status, header or body fails. So does a request that the contract does
not allow.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import jsonschema
import yaml

from testing.response import PROBLEM, Response
from tokensvc.ops.contract import contract, resolve

FORM = "application/x-www-form-urlencoded"

TRANSPORT_HEADERS = frozenset(
    {"connection", "content-length", "content-type", "date", "keep-alive", "server"}
)
"""Headers of HTTP itself. `Content-Type` is compared with the declared media types."""

PREFLIGHT_HEADERS = frozenset(
    {
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-max-age",
    }
)


def check_request(
    method: str,
    path: str,
    query: Mapping[str, Any] | str | None,
    headers: Mapping[str, str],
    body: bytes | Iterable[bytes] | None,
) -> None:
    """Fail unless the contract allows the request."""
    operations = operations_at(path) or {}
    operation = operations.get("get" if method == "HEAD" else method.lower())
    assert operation, f"{method} {path} is not in the contract: declare the request invalid"
    parameters = [resolve(parameter) for parameter in operation.get("parameters", [])]
    declared = {item["name"]: item for item in parameters if item["in"] == "query"}
    assert not isinstance(query, str), "an encoded query is not checked: declare it invalid"
    for name, value in (query or {}).items():
        assert name in declared, f"the parameter {name} is not in the contract"
        check(value, declared[name]["schema"], f"parameter {name}")
    if not body:
        return
    assert "requestBody" in operation, f"{method} {path} takes no body"
    media_type = headers.get("Content-Type", "").partition(";")[0]
    content = operation["requestBody"]["content"]
    assert media_type in content, f"the media type {media_type} is not in the contract"
    assert isinstance(body, bytes), "a chunked body is not checked: declare the request invalid"
    value: Any = body.decode()
    if media_type == FORM:
        value = dict(parse_qsl(value))
    elif media_type.endswith("json"):
        value = json.loads(value)
    check(value, content[media_type]["schema"], "the body")


def check_response(method: str, path: str, response: Response) -> None:
    """Fail unless the contract declares the response."""
    where = f"{method} {path} {response.status}"
    declared = _declared(method, split_target(path).path, response.status)
    headers = {name.lower(): resolve(header) for name, header in declared["headers"].items()}
    received = {name.lower(): value for name, value in response.headers.items()}
    undeclared = received.keys() - headers.keys() - TRANSPORT_HEADERS
    assert not undeclared, f"{where}: undeclared {sorted(undeclared)}"
    for name, header in headers.items():
        if header.get("required"):
            assert name in received, f"{where}: {name} is missing"
        if name in received:
            check(received[name], header["schema"], f"header {name}")
    content = declared.get("content", {})
    if not content or method == "HEAD":
        assert response.body == b"", f"{where}: a body"
    if content:
        _check_content(where, response, content, received.get("content-type"), method)


def _check_content(
    where: str, response: Response, content: dict[str, Any], content_type: str | None, method: str
) -> None:
    assert content_type is not None, f"{where}: no Content-Type"
    media_type = content_type.partition(";")[0]
    assert media_type in content, f"{where}: undeclared {media_type}"
    if method == "HEAD":
        return
    value = _parsed(media_type, response.body)
    check(value, content[media_type]["schema"], where)
    if media_type == PROBLEM:
        assert value["status"] == response.status, "status of the problem"
        assert value["request_id"] == response.headers["X-Request-Id"], "ID of the problem"


def _parsed(media_type: str, body: bytes) -> Any:
    if media_type.endswith("json"):
        assert body.rstrip() + b"\n" == body, "a JSON body ends with one newline"
        return json.loads(body)
    return yaml.safe_load(body) if media_type.endswith("yaml") else body.decode()


def check(value: Any, schema: dict[str, Any], where: str) -> None:
    """Fail unless the value conforms to the schema."""
    whole = {**schema, "components": contract()["components"]}
    for error in jsonschema.Draft202012Validator(whole).iter_errors(value):
        raise AssertionError(f"{where}: {error.message} in {value!r}")


def operations_at(path: str) -> dict[str, Any] | None:
    """Return the operations of the contract's path that matches a request's path."""
    paths: dict[str, Any] = contract()["paths"]
    if path in paths:
        found: dict[str, Any] = paths[path]
        return found
    for template, operations in paths.items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if "{" in template and re.fullmatch(pattern, path):
            return dict(operations)
    return None


def _declared(method: str, path: str, status: int) -> dict[str, Any]:
    """Return the declared response, or the common one if the contract has no such operation."""
    operations = operations_at(path)
    responses = contract()["components"]["responses"]
    if method == "OPTIONS" and status == 204:
        return {"headers": {**responses["MethodNotAllowed"]["headers"], **_preflight()}}
    if status == 404 and operations is None:
        return resolve(responses["NotFound"])
    if operations is not None:
        operation = operations.get("get" if method == "HEAD" else method.lower())
        if status == 405 and operation is None:
            return resolve(responses["MethodNotAllowed"])
        if operation is not None:
            assert str(status) in operation["responses"], f"{method} {path}: undeclared {status}"
            return resolve(operation["responses"][str(status)])
    common = {400: "MalformedRequest", 413: "PayloadTooLarge", 500: "InternalError"}
    assert status in common, f"{method} {path}: undeclared {status}"
    return resolve(responses[common[status]])


def _preflight() -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in PREFLIGHT_HEADERS}


def split_target(target: str) -> SplitResult:
    """Split a request target as gunicorn does: `//` at the beginning does not start a host."""
    split = urlsplit(f".{target}")
    return split._replace(path=split.path[1:])
