"""
The tests' one HTTP client. It holds every exchange against `openapi.yaml`.

An answer with a status, a header or a body that the contract does not declare fails the test, and
so does a request that the contract does not allow unless the test calls it invalid.
"""

import io
import json as json_module
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import jsonschema
import urllib3
import yaml
from flask import Flask

from testing.service import POOLS
from tokensvc.ops.contract import contract

SEEN_CODES: set[str] = set()
"""Every problem code that a running service has answered any test with."""

TRANSPORT_HEADERS = frozenset(
    {"connection", "content-length", "content-type", "date", "keep-alive", "server"}
)
"""What HTTP itself owns; Content-Type is held against the media types of the contract."""

PREFLIGHT_HEADERS = frozenset(
    {
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-max-age",
    }
)
PROBLEM = "application/problem+json"

Send = Callable[[str, str, Mapping[str, str], bytes | Iterable[bytes] | None], "Answer"]


@dataclass(frozen=True)
class Answer:
    """An answer that the contract allows."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json_module.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> str:
        """The code of a problem; fails when it is none."""
        assert self.headers["Content-Type"] == PROBLEM, (self.status, self.body)
        code: str = self.json["code"]
        return code


class Client:
    """
    Sends requests.

    Args:
        target: The URL of a running service, or an application to be called in this process.
        headers: Sent with every request.
        environ: For an application, members of the WSGI environment that differ from gunicorn's
            on the main port.
    """

    def __init__(
        self,
        target: str | Flask,
        headers: Mapping[str, str] | None = None,
        **environ: str,
    ) -> None:
        self._send = _over_http(target) if isinstance(target, str) else _in_process(target, environ)
        self._is_live = isinstance(target, str)
        self._headers = dict(headers or {})

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | str | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | Iterable[bytes] | None = None,
        valid: bool = True,
    ) -> Answer:
        """
        Send a request and give the answer.

        Args:
            method: As it is sent.
            path: Of the service, without the query.
            query: Parameters, or the query as it shall be sent.
            headers: Sent beside those of the client.
            json: Sent as a JSON body.
            body: Sent as it is; chunked when it is no bytes.
            valid: Whether the contract must allow the request.
        """
        sent = {**self._headers, **(headers or {})}
        if json is not None:
            body = json_module.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        if valid:
            _check_request(method, path, query, sent, body)
        if query:
            path += "?" + (query if isinstance(query, str) else _encoded(query))
        answer = self._send(method, path, sent, body)
        check_answer(method, path, answer)
        if self._is_live and answer.body and answer.headers.get("Content-Type") == PROBLEM:
            SEEN_CODES.add(answer.json["code"])
        return answer


def check_answer(method: str, path: str, answer: Answer) -> None:
    """Fail unless the contract declares the answer."""
    response = _declared(method, split_target(path).path, answer.status)
    lower = {name.lower(): value for name, value in answer.headers.items()}
    declared = {name.lower(): resolve(header) for name, header in response["headers"].items()}
    undeclared = lower.keys() - declared.keys() - TRANSPORT_HEADERS
    assert not undeclared, f"{method} {path} {answer.status}: undeclared {sorted(undeclared)}"
    for name, header in declared.items():
        if header.get("required"):
            assert name in lower, f"{method} {path} {answer.status}: {name} is missing"
        if name in lower:
            check(lower[name], header["schema"], f"header {name}")
    _check_body(method, path, answer, response, lower.get("content-type"))


def _check_body(
    method: str, path: str, answer: Answer, response: dict[str, Any], content_type: str | None
) -> None:
    content = response.get("content", {})
    if not content:
        assert answer.body == b""
        return
    assert content_type is not None, f"{method} {path} {answer.status}: no Content-Type"
    media_type = content_type.partition(";")[0]
    assert media_type in content, f"{method} {path} {answer.status}: undeclared {media_type}"
    if method == "HEAD":
        assert answer.body == b""
        return
    value = _parsed(media_type, answer.body)
    check(value, content[media_type]["schema"], f"{method} {path} {answer.status}")
    if media_type == PROBLEM:
        assert value["status"] == answer.status, "status of the problem"
        assert value["request_id"] == answer.headers["X-Request-Id"], "id of the problem"


def _parsed(media_type: str, body: bytes) -> Any:
    if media_type.endswith("json"):
        return json_module.loads(body)
    return yaml.safe_load(body) if media_type.endswith("yaml") else body.decode()


def check(value: Any, schema: dict[str, Any], where: str) -> None:
    """Fail unless the value is as the schema says."""
    whole = {**schema, "components": contract()["components"]}
    for error in jsonschema.Draft202012Validator(whole).iter_errors(value):
        raise AssertionError(f"{where}: {error.message} in {value!r}")


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Follow references inside the contract."""
    while "$ref" in node:
        found: Any = contract()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def _encoded(query: Mapping[str, Any]) -> str:
    """Write a query; booleans as `true` and `false`."""
    return urlencode(
        {
            name: json_module.dumps(value) if isinstance(value, bool) else value
            for name, value in query.items()
        }
    )


def operations_at(path: str) -> dict[str, Any] | None:
    """Give the operations of the contract's path that a request's path is one of."""
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
    """Give the response that the contract declares, for what has no operation as its text says."""
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


def _check_request(
    method: str,
    path: str,
    query: Mapping[str, Any] | str | None,
    headers: Mapping[str, str],
    body: bytes | Iterable[bytes] | None,
) -> None:
    operations = operations_at(path) or {}
    operation = operations.get("get" if method == "HEAD" else method.lower())
    assert operation, f"{method} {path} is not in the contract: call the request invalid"
    parameters = [resolve(parameter) for parameter in operation.get("parameters", [])]
    declared = {each["name"]: each for each in parameters if each["in"] == "query"}
    assert not isinstance(query, str), "a query as text may be anything: call the request invalid"
    for name, value in (query or {}).items():
        assert name in declared, f"the parameter {name} is not in the contract"
        check(value, declared[name]["schema"], f"parameter {name}")
    if not body:
        return
    assert "requestBody" in operation, f"{method} {path} takes no body"
    media_type = headers.get("Content-Type", "").partition(";")[0]
    content = operation["requestBody"]["content"]
    assert media_type in content, f"the media type {media_type} is not in the contract"
    assert isinstance(body, bytes), "a chunked body is not checked: call the request invalid"
    check(json_module.loads(body), content[media_type]["schema"], "the body")


def _over_http(base_url: str) -> Send:
    pool = urllib3.PoolManager(retries=False, timeout=30.0)
    POOLS.add(pool)

    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Answer:
        chunked = body is not None and not isinstance(body, bytes)
        response = pool.request(
            method, base_url + path, headers=dict(headers), body=body, chunked=chunked
        )
        return Answer(response.status, response.headers, response.data)

    return send


def _in_process(app: Flask, more: Mapping[str, str]) -> Send:
    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Answer:
        started: list[Any] = []
        environ = {**environ_of(method, path, headers, body), **more}
        content = b"".join(app(environ, lambda status, fields: started.extend((status, fields))))
        status, fields = started
        return Answer(int(status[:3]), urllib3.HTTPHeaderDict(fields), content)

    return send


def split_target(target: str) -> SplitResult:
    """Split a request target as gunicorn does: one that begins with `//` names no host."""
    split = urlsplit(f".{target}")
    return split._replace(path=split.path[1:])


def environ_of(
    method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
) -> dict[str, Any]:
    """Give the WSGI environment that gunicorn makes of a request."""
    target = split_target(path)
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote(target.path, "latin-1"),
        "QUERY_STRING": target.query,
        "RAW_URI": path,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8000",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body if isinstance(body, bytes) else b"".join(body or ())),
        "wsgi.input_terminated": True,
    }
    if isinstance(body, bytes) and body:
        environ["CONTENT_LENGTH"] = str(len(body))
    elif body:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ
