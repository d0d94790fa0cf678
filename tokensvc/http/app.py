"""
The Flask application and the one wrapper around every request.

The wrapper does what hooks, sessions and signals would do, in one function that reads in order:
admit, read the body, find the view, answer, count, log once. Views run in Flask's request context.
"""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Flask, Request
from flask.ctx import RequestContext
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter, Rule

from tokensvc.core.errors import Code, Refusal
from tokensvc.http import body_reader as intake
from tokensvc.http import cors, exchange, hosts, proxies
from tokensvc.http.exchange import Exchange
from tokensvc.http.problems import Problems
from tokensvc.http.respond import Reply
from tokensvc.telemetry import logging, metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PROBES = frozenset({"/healthz", "/readyz"})
"""Asked by address: a load balancer or a kubelet does not know the service's name."""
METRICS_PORT_PATHS = PROBES | {"/metrics"}

_UNMATCHED = "unmatched"
_EVERY_METHOD = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_METHODS = frozenset(_EVERY_METHOD.split(", "))
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_LONGEST_LOGGED_PATH = 200
_NOT_BELIEVED = (
    "if this is your proxy, name its network in proxies.trusted: until then all of its clients "
    "share one limit of failures, and one of them can lock out the others"
)

_ALWAYS = (("X-Content-Type-Options", "nosniff"), ("Vary", "Origin"))


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """
    What the wrapper needs to know.

    Attributes:
        public_url: The service's own URL, without a slash at the end.
        allowed_hosts: Names that it answers to; none: that of `public_url` and the loopback names.
        cors_origins: Origins of pages that may read answers; `:*` at the end for any port.
        trusted_proxies: CIDRs of proxies whose `X-Forwarded-For` and `X-Request-Id` are true.
        metrics_port: Port that is for operators only, if there is one.
    """

    public_url: str
    allowed_hosts: Sequence[str] = ()
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()
    metrics_port: int | None = None


class _NoSessions(SessionInterface):
    """The service sets no cookie, so there is one session for all, and nothing can be put in it."""

    _session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's
        return self._session

    def is_null_session(self, obj: object) -> bool:  # noqa: ARG002 - Flask's
        return True


class _Context(RequestContext):
    """A request context that is told its route."""

    def __init__(
        self, app: Flask, environ: "WSGIEnvironment", rule: Rule, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(app, environ)
        self._rule, self._arguments = rule, dict(arguments)

    def match_request(self) -> None:
        self.request.url_rule, self.request.view_args = self._rule, self._arguments


class ServiceApp(Flask):
    """The WSGI application."""

    session_interface = _NoSessions()

    def __init__(self, config: HttpConfig) -> None:
        super().__init__("tokensvc", static_folder=None)
        self.problems = Problems(config.public_url)
        self.url_map.merge_slashes = False
        self._adapter: MapAdapter = self.url_map.bind("")
        # Bounded: what strangers send must not grow it.
        self._match = lru_cache(maxsize=256)(partial(self._adapter.match, return_rule=True))
        self._hosts = hosts.Hosts(config.public_url, config.allowed_hosts)
        self._origins = cors.Origins(config.cors_origins)
        self._proxies = proxies.Proxies(config.trusted_proxies)
        self._has_warned = False
        self._metrics_port = str(config.metrics_port) if config.metrics_port else None
        self._log = structlog.get_logger().bind()

    def create_url_adapter(self, request: Request | None) -> MapAdapter:  # noqa: ARG002 - Flask's
        """Give the one adapter there is: routes do not depend on the host."""
        return self._adapter

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request, whatever it is, with a reply or a problem, and log it once."""
        started = time.perf_counter()
        here = self._open(environ)
        token = exchange.enter(here)
        logged_id = logging.request_id.set(here.request_id)
        try:
            reply = self._answer(here)
            reply.headers.append(("X-Request-Id", here.request_id))
            reply.headers += _ALWAYS
            reply.headers += self._origins.answer_fields(environ.get("HTTP_ORIGIN"))
            if here.rate_limit is not None:
                policy, limit = here.rate_limit
                reply.headers += (("RateLimit-Policy", policy), ("RateLimit", limit))
            self._record(here, reply.status, time.perf_counter() - started)
            return reply(environ, start_response)
        finally:
            logging.request_id.reset(logged_id)
            exchange.leave(token)

    def _open(self, environ: "WSGIEnvironment") -> Exchange:
        client, request_id = environ["REMOTE_ADDR"], ""
        if self._proxies.trust(client):
            forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
            client = self._proxies.client_address(client, forwarded_for)
            request_id = environ.get("HTTP_X_REQUEST_ID", "")
        elif "HTTP_X_FORWARDED_FOR" in environ and not self._has_warned:
            self._has_warned = True  # once: anybody can send the field
            self._log.warning("forwarded_for_not_believed", peer=client, hint=_NOT_BELIEVED)
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        on_metrics_port = environ["SERVER_PORT"] == self._metrics_port
        return Exchange(environ, request_id, client, on_metrics_port=on_metrics_port)

    def _answer(self, here: Exchange) -> Reply:
        try:
            self._admit(here)
            here.body = intake.read_body(here.environ)
            return self._dispatch(here)
        except Refusal as refusal:
            here.notes["code"] = refusal.code
            if refusal.reason:
                here.notes["reason"] = refusal.reason
            return self.problems.of_refusal(refusal, here.request_id)
        except MethodNotAllowed as error:
            here.notes["code"] = Code.METHOD_NOT_ALLOWED
            return self.problems.method_not_allowed(error.valid_methods or (), here.request_id)
        except Exception as error:  # noqa: BLE001 - the last line: nothing internal may get out
            here.notes["code"] = Code.INTERNAL_ERROR
            here.error = error
            return self.problems.internal_error(here.request_id)

    def _admit(self, here: Exchange) -> None:
        """Refuse a request that is for another service."""
        environ = here.environ
        path = environ["PATH_INFO"]
        if here.on_metrics_port:
            if path not in METRICS_PORT_PATHS:
                raise _not_found()
            return
        host = environ.get("HTTP_HOST", "")
        if not self._hosts.include(host) and path not in PROBES:
            raise Refusal(
                Code.MALFORMED_REQUEST,
                "The `Host` header is not a name of this service.",
                reason="if clients use this name, add it to hosts.allowed",
            )
        target = environ.get("RAW_URI", "/")
        if target[:1] != "/" and target != "*" and not _names_host(target, host):
            # RFC 9112 section 3.2.2: an absolute target outranks Host, so they must not differ.
            raise Refusal(Code.MALFORMED_REQUEST, "`Host` and the request target differ.")

    def _dispatch(self, here: Exchange) -> Reply:
        environ = here.environ
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path[:2] == "//":
            # werkzeug would match it as if it had one slash, and a proxy's rules for paths may not.
            raise _not_found()
        if method == "OPTIONS":
            return self._options(here, path)
        try:
            rule, arguments = self._match(path, method)
        except NotFound:
            raise _not_found() from None
        here.route = rule.rule
        with _Context(self, environ, rule, arguments):
            reply = self.view_functions[rule.endpoint](**arguments)
        if not isinstance(reply, Reply):
            raise TypeError(f"{rule.endpoint} answers with no Reply")
        return reply

    def _options(self, here: Exchange, path: str) -> Reply:
        """Answer OPTIONS: what the path takes and, to a preflight, what a page may send."""
        allowed = self._adapter.allowed_methods(path) if path != "*" else _METHODS
        if not allowed:
            raise _not_found()
        methods = ", ".join(sorted(allowed))
        headers = [("Allow", methods)]
        preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in here.environ
        if preflight and self._origins.allow(here.environ.get("HTTP_ORIGIN", "")):
            headers += cors.preflight_fields(methods)
        return Reply(204, headers=headers)

    def _record(self, here: Exchange, status: int, seconds: float) -> None:
        """Count the request and log its one line."""
        environ, notes = here.environ, here.notes
        route = here.route or _UNMATCHED
        method = environ["REQUEST_METHOD"]
        metrics.count_request(route, method, str(status), seconds)
        if "code" in notes:
            metrics.count_refusal(notes["code"])
        if here.route is None:
            notes["path"] = environ["PATH_INFO"][:_LONGEST_LOGGED_PATH]
        log = self._log.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else self._log.info
        if here.error is not None:
            notes["exc_info"] = here.error
        log(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            client=here.client_address,
            **notes,
        )


def _names_host(target: str, host: str) -> bool:
    """Tell whether an absolute target is of this host; host names know no case."""
    return urlsplit(target).netloc.lower() == host.lower()


def _not_found() -> Refusal:
    return Refusal(Code.NOT_FOUND, "The path does not exist. /docs lists all paths.")


def make_app(config: HttpConfig, blueprints: Sequence[Blueprint]) -> ServiceApp:
    """Give the application with these routes and no other."""
    app = ServiceApp(config)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
