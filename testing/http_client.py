"""
The only HTTP client of the tests. It checks every request and response against `openapi.yaml`.

A request that the contract does not allow fails, unless the test declares it invalid.
"""

import io
import json as json_module
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

import urllib3
from flask import Flask

from testing.contract_checks import FORM, check_request, check_response, split_target
from testing.response import PROBLEM, Response
from testing.service import POOLS

SEEN_CODES: set[str] = set()
"""Problem codes that running services have sent to tests."""

Send = Callable[[str, str, Mapping[str, str], bytes | Iterable[bytes] | None], Response]


class Client:
    """
    A client that sends requests.

    Args:
        target: URL of a running service, or an application to call in this process.
        headers: Headers of every request.
        environ: Members of the WSGI environment of an application that differ from gunicorn's.
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

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    def pages(self, path: str, **query: Any) -> list[list[Any]]:
        """Return the items of a list, page by page."""
        found = []
        after: dict[str, str] = {}
        while True:
            page = self.get(path, query={**query, **after}).json
            found.append(page["items"])
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | str | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        valid: bool = True,
    ) -> Response:
        """
        Send a request and return the response.

        Args:
            method: HTTP method.
            path: Path without the query.
            query: Query parameters, or the encoded query.
            headers: Headers in addition to those of the client.
            json: JSON body.
            form: Form-encoded body.
            body: Body that is sent unchanged; chunked if it is not bytes.
            valid: Whether the contract must allow the request.
        """
        sent = {**self._headers, **(headers or {})}
        if json is not None:
            body = json_module.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        elif form is not None:
            body = urlencode(form).encode()
            sent.setdefault("Content-Type", FORM)
        if valid:
            check_request(method, path, query, sent, body)
        if query:
            path += "?" + (query if isinstance(query, str) else _encoded(query))
        response = self._send(method, path, sent, body)
        check_response(method, path, response)
        if self._is_live and response.body and response.headers.get("Content-Type") == PROBLEM:
            SEEN_CODES.add(response.json["code"])
        return response


def _encoded(query: Mapping[str, Any]) -> str:
    """Encode a query, booleans as `true` and `false`."""
    return urlencode(
        {
            name: json_module.dumps(value) if isinstance(value, bool) else value
            for name, value in query.items()
        }
    )


def _over_http(base_url: str) -> Send:
    pool = urllib3.PoolManager(retries=False, timeout=30.0)
    POOLS.add(pool)

    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Response:
        chunked = body is not None and not isinstance(body, bytes)
        response = pool.request(
            method, base_url + path, headers=dict(headers), body=body, chunked=chunked
        )
        return Response(response.status, response.data, response.headers)

    return send


def _in_process(app: Flask, more: Mapping[str, str]) -> Send:
    def send(
        method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Response:
        started: list[Any] = []
        environ = {**environ_of(method, path, headers, body), **more}
        content = b"".join(app(environ, lambda status, fields: started.extend((status, fields))))
        status, fields = started
        return Response(int(status[:3]), content, urllib3.HTTPHeaderDict(fields))

    return send


def environ_of(
    method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
) -> dict[str, Any]:
    """Return the WSGI environment that gunicorn creates for a request."""
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
