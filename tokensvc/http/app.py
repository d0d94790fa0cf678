"""
The Flask application and the one wrapper around every request.

The wrapper does what hooks, sessions and signals would do, in one function that reads in order:
check the host, read the body, find the view, respond, count, log once. Views run in Flask's request
context.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Flask, Request
from flask.ctx import RequestContext
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, Rule, UnicodeConverter

from tokensvc.core import current_request, deadline
from tokensvc.core.current_request import CurrentRequest
from tokensvc.core.errors import Code, Refusal
from tokensvc.http import cors, hosts, protocol_errors, proxies
from tokensvc.http.body import read_body
from tokensvc.http.problems import Problems
from tokensvc.http.recorder import METRICS_PORT_PATHS, PROBES, record, refused_value_log
from tokensvc.http.respond import Response
from tokensvc.telemetry.traces import RecordSpan

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_FORWARDED_FOR_HINT = (
    "if this is your proxy, add its network to proxies.trusted; otherwise all its clients share "
    "one limit of failures, and the log has its address instead of theirs"
)
_HOST_HINT = "If clients use it, add it to `hosts.allowed`."
_ORIGIN_HINT = "If this is your web app, add it to `cors.origins`."

LimitRefused: TypeAlias = Callable[[Refusal], Refusal]
"""Returns the refusal of the current request, or that of a limit for refused requests."""

FIELDS_OF_ALL = (("X-Content-Type-Options", "nosniff"), ("Vary", "Origin"))
"""Header fields of every response."""


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """
    Settings of the wrapper.

    Attributes:
        public_url: URL of the service, without a slash at the end.
        allowed_hosts: Accepted host names. Default: that of `public_url` and the loopback names.
        cors_origins: Origins of pages that may read responses, with `:*` at the end for any port.
        trusted_proxies: CIDRs of proxies whose `X-Forwarded-For` and `X-Request-Id` are used.
        metrics_port: Port for operators only, if one is configured.
    """

    public_url: str
    allowed_hosts: Sequence[str] = ()
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()
    metrics_port: int | None = None


class _NoSessions(SessionInterface):
    """One empty, read-only session for all requests, because the service sets no cookie."""

    _session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's
        return self._session

    def is_null_session(self, obj: object) -> bool:  # noqa: ARG002 - Flask's
        return True


class _Context(RequestContext):
    """A request context with a given route."""

    def __init__(
        self, app: Flask, environ: "WSGIEnvironment", rule: Rule, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(app, environ)
        self._rule, self._arguments = rule, dict(arguments)

    def match_request(self) -> None:
        self.request.url_rule, self.request.view_args = self._rule, self._arguments


class _AnyExcept(UnicodeConverter):
    """Any segment but the names of actions, so that a wrong method on an action gets 405."""

    def __init__(self, url_map: Map, *names: str) -> None:
        super().__init__(url_map)
        self.regex = rf"(?!(?:{'|'.join(names)})$)[^/]+"


class ServiceApp(Flask):
    """The WSGI application."""

    session_interface = _NoSessions()

    def __init__(
        self, config: HttpConfig, record_span: RecordSpan | None, limit_refused: LimitRefused | None
    ) -> None:
        super().__init__("tokensvc", static_folder=None)
        self._limit_refused = limit_refused
        self._public_url = config.public_url
        self._problems = Problems(config.public_url)
        self._oauth_errors = protocol_errors.OAuthErrors(config.public_url)
        self._event_errors = protocol_errors.EventErrors(config.public_url)
        self.url_map.merge_slashes = False
        self.url_map.converters["any_except"] = _AnyExcept
        self._adapter: MapAdapter = self.url_map.bind("")
        # Bounded, because clients choose the keys.
        self._match = lru_cache(maxsize=256)(partial(self._adapter.match, return_rule=True))
        self._hosts = hosts.Hosts(config.public_url, config.allowed_hosts)
        self._log_refused_host = refused_value_log("host_refused", "host", _HOST_HINT)
        self._allows_origin = lru_cache(maxsize=256)(partial(cors.allows, config.cors_origins))
        self._own_origin = "{0.scheme}://{0.netloc}".format(urlsplit(config.public_url))
        self._log_refused_origin = refused_value_log("cors_origin_refused", "origin", _ORIGIN_HINT)
        self._proxies = proxies.Proxies(config.trusted_proxies)
        self._has_warned_of_forwarded_for = False
        self._metrics_port = str(config.metrics_port) if config.metrics_port else None
        self._record = partial(record, record_span, self._proxies)
        self._log = structlog.get_logger().bind()

    def create_url_adapter(self, request: Request | None) -> MapAdapter:  # noqa: ARG002 - Flask's
        """Return the only adapter: routes do not depend on the host."""
        return self._adapter

    def do_teardown_request(self, *_: object) -> None:
        """Do nothing: no function waits for the end of a request, nor for its signals."""

    def do_teardown_appcontext(self, *_: object) -> None:
        """Do nothing, as `do_teardown_request`."""

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Return the response to a request, or a problem, and log it once."""
        started = time.monotonic()
        deadline.ensure(started)
        request = self._open(environ)
        token = current_request.enter(request)
        try:
            response = self._respond(request)
            response.headers.append(("X-Request-Id", request.request_id))
            response.headers += FIELDS_OF_ALL
            if "HTTP_ORIGIN" in environ:
                response.headers += self._cors_fields(environ["HTTP_ORIGIN"])
            if request.rate_limit is not None:
                policy, limit = request.rate_limit
                response.headers += (("RateLimit-Policy", policy), ("RateLimit", limit))
            self._record(request, response.status, time.monotonic() - started)
            return response(environ, start_response)
        finally:
            deadline.end()
            current_request.leave(token)

    def _open(self, environ: "WSGIEnvironment") -> CurrentRequest:
        client, request_id = environ["REMOTE_ADDR"], ""
        if self._proxies.trust(client):
            forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
            client = self._proxies.client_address(client, forwarded_for)
            request_id = environ.get("HTTP_X_REQUEST_ID", "")
        elif "HTTP_X_FORWARDED_FOR" in environ and not self._has_warned_of_forwarded_for:
            self._has_warned_of_forwarded_for = True  # once: any client can send the field
            self._log.warning("forwarded_for_ignored", peer=client, hint=_FORWARDED_FOR_HINT)
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        on_metrics_port = environ["SERVER_PORT"] == self._metrics_port
        return CurrentRequest(environ, request_id, client, on_metrics_port=on_metrics_port)

    def _respond(self, request: CurrentRequest) -> Response:
        try:
            self._admit(request)
            request.body = read_body(request.environ)
            return self._dispatch(request)
        except Refusal as found:
            refusal = self._limit_refused(found) if self._limit_refused else found
            request.log_fields["code"] = refusal.code
            if refusal.reason:
                request.log_fields["reason"] = refusal.reason
            return self._errors_of(request).from_refusal(refusal, request.request_id)
        except MethodNotAllowed as error:
            request.log_fields["code"] = Code.METHOD_NOT_ALLOWED
            return self._problems.method_not_allowed(error.valid_methods or (), request.request_id)
        except Exception as error:  # noqa: BLE001 - no internal detail may reach the client
            request.log_fields["code"] = Code.INTERNAL_ERROR
            request.error = error
            return self._errors_of(request).internal_error(request.request_id)

    def _errors_of(self, request: CurrentRequest) -> Problems:
        path = request.environ["PATH_INFO"]
        if path in protocol_errors.OAUTH_PATHS:
            return self._oauth_errors
        return self._event_errors if protocol_errors.EVENTS_PATH.fullmatch(path) else self._problems

    def _admit(self, request: CurrentRequest) -> None:
        """Refuse a request that names another host, or that the operators' port does not serve."""
        environ = request.environ
        path = environ["PATH_INFO"]
        if request.on_metrics_port:
            if path not in METRICS_PORT_PATHS:
                raise _not_found()
            return
        host = environ.get("HTTP_HOST", "")
        if not self._hosts.include(host) and path not in PROBES:
            name = hosts.name_of(host)
            if name is not None:
                self._log_refused_host(name)
            raise Refusal(
                Code.MALFORMED_REQUEST,
                "The `Host` header is not a name of this service.",
                reason="host not allowed",
            )
        target = environ.get("RAW_URI", "/")
        if target[:1] != "/" and target != "*" and not _names_host(target, host):
            # RFC 9112 section 3.2.2: an absolute target overrides Host, so they must not differ.
            raise Refusal(Code.MALFORMED_REQUEST, "`Host` and the request target differ.")

    def _dispatch(self, request: CurrentRequest) -> Response:
        environ = request.environ
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path[:2] == "//" or _has_encoded_slash(environ.get("RAW_URI", path)):
            # werkzeug would match it like one slash, but a proxy's path rules may not.
            raise _not_found()
        if method == "OPTIONS":
            return self._options(request, path)
        try:
            rule, arguments = self._match(path, method)
        except NotFound:
            raise (_not_found() if path != "/" else self._no_page()) from None
        request.route = rule.rule
        with _Context(self, environ, rule, arguments):
            response = self.view_functions[rule.endpoint](**arguments)
        if not isinstance(response, Response):
            raise TypeError(f"the view {rule.endpoint} returned no Response")
        return response

    def _no_page(self) -> Refusal:
        """Return the refusal of `/`, which people open in a browser."""
        service = "tokensvc: POST /v1/token mints Stream Chat tokens for users of an app."
        contract = f"{self._public_url}/openapi.yaml, as a page {self._public_url}/docs"
        return Refusal(Code.NOT_FOUND, f"{service} Its contract is {contract}.")

    def _options(self, request: CurrentRequest, path: str) -> Response:
        """Respond to OPTIONS with the path's methods and, to a preflight, with the CORS fields."""
        allowed = self._adapter.allowed_methods(path) if path != "*" else _METHODS
        if not allowed:
            raise _not_found()
        methods = ", ".join(sorted(allowed))
        headers = [("Allow", methods)]
        preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.environ
        if preflight and self._allows_origin(request.environ.get("HTTP_ORIGIN", "")):
            headers += cors.preflight_fields(methods)
        return Response(204, headers=headers)

    def _cors_fields(self, origin: str) -> tuple[tuple[str, str], ...]:
        if self._allows_origin(origin):
            return cors.response_fields(origin)
        if origin != self._own_origin and cors.is_origin(origin):
            self._log_refused_origin(origin)
        return ()


def _names_host(target: str, host: str) -> bool:
    """Return whether an absolute target has this host, ignoring case."""
    return urlsplit(target).netloc.lower() == host.lower()


def _has_encoded_slash(target: str) -> bool:
    return "%" in target and "%2f" in target.partition("?")[0].lower()


def _not_found() -> Refusal:
    return Refusal(Code.NOT_FOUND, "The path does not exist. /docs lists all paths.")


def make_app(
    config: HttpConfig,
    blueprints: Sequence[Blueprint],
    record_span: RecordSpan | None = None,
    limit_refused: LimitRefused | None = None,
) -> ServiceApp:
    """Return an application with only these routes."""
    app = ServiceApp(config, record_span, limit_refused)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
