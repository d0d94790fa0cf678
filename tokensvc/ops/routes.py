"""Health, metrics, the contract, its page, `/llms.txt`, and in development `/dev/`."""

import hmac
from collections.abc import Callable
from pathlib import Path

import msgspec
from flask import Blueprint

from tokensvc.core import current_request
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import State
from tokensvc.http.respond import Response, json_response
from tokensvc.ops.contract import contract_bytes, text_for_agents
from tokensvc.ops.health import ProbeResult, Readiness
from tokensvc.ops.page import (
    CONTENT_SECURITY_POLICY,
    DEVELOPMENT_POLICY,
    development_page,
    page,
)
from tokensvc.telemetry import metrics

_CACHED = (("Cache-Control", "public, max-age=300"),)
_NO_REFERRER = ("Referrer-Policy", "no-referrer")
_PAGE_FIELDS = (("Content-Security-Policy", CONTENT_SECURITY_POLICY), _NO_REFERRER)
_DEVELOPMENT_FIELDS = (("Content-Security-Policy", DEVELOPMENT_POLICY), _NO_REFERRER)
_HTML = "text/html; charset=utf-8"
_RETRY_AFTER = (("Retry-After", "5"),)

_NO_GUIDE = "`make run` starts the service for development and prints commands to copy."
GUIDE_NAME = "guide.txt"
"""Name of the file with the text that `make run` printed, next to the database."""


class Health(msgspec.Struct, frozen=True):
    """
    Liveness of the process. Nothing else is checked.

    Attributes:
        status: Always `ok`.
    """

    status: str = "ok"


def routes(last_probe: Callable[[], ProbeResult], metrics_token: str | None = None) -> Blueprint:
    """
    Return the routes.

    Args:
        last_probe: Function that returns the readiness without a wait.
        metrics_token: Bearer token for `/metrics` and the details of `/readyz` on the main port.
            Without it they are only on the metrics port.
    """
    blueprint = Blueprint("ops", __name__)

    @blueprint.get("/healthz")
    def get_health() -> Response:
        return json_response(Health())

    @blueprint.get("/readyz")
    def get_readiness() -> Response:
        return _readiness(last_probe().service, metrics_token)

    @blueprint.get("/readyz/instance")
    def get_instance_readiness() -> Response:
        return _readiness(last_probe().instance, metrics_token)

    @blueprint.get("/metrics")
    def get_metrics() -> Response:
        if not _is_operator(metrics_token):
            # 404 and not 401: do not reveal that metrics exist.
            raise Refusal(Code.NOT_FOUND, "Use the metrics port, or send the metrics token.")
        content, content_type = metrics.render()
        return Response(200, content, content_type)

    @blueprint.get("/openapi.yaml")
    def get_contract() -> Response:
        return Response(200, contract_bytes(), "application/yaml", caching=_CACHED)

    @blueprint.get("/docs")
    def get_docs() -> Response:
        return Response(200, page(), _HTML, _PAGE_FIELDS, caching=_CACHED)

    @blueprint.get("/llms.txt")
    def get_text_for_agents() -> Response:
        return Response(200, text_for_agents(), "text/plain; charset=utf-8", caching=_CACHED)

    return blueprint


def development_routes(
    guide: Path | None,
    last_probe: Callable[[], ProbeResult],
    *,
    has_accounts: bool,
    placeholder: str,
) -> Blueprint:
    """
    Return the routes that exist only in development: `/`, which leads to `/dev/`.

    Args:
        guide: File with the text that `make run` printed.
        last_probe: Function that returns the readiness without a wait.
        has_accounts: Whether users can sign in with a password.
        placeholder: API key whose tokens Stream refuses.
    """
    blueprint = Blueprint("development", __name__)

    @blueprint.get("/")
    def get_root() -> Response:
        return Response(302, headers=(("Location", "/dev/"),))

    @blueprint.get("/dev/", strict_slashes=False)
    def get_development_page() -> Response:
        text = guide.read_text("utf-8") if guide and guide.exists() else _NO_GUIDE
        content = development_page(
            text, last_probe().service, has_accounts=has_accounts, placeholder=placeholder
        )
        return Response(200, content, _HTML, _DEVELOPMENT_FIELDS)

    return blueprint


def _readiness(found: Readiness, metrics_token: str | None) -> Response:
    if not _is_operator(metrics_token):
        found = Readiness(found.status)
    if found.status is State.FAILED:
        return json_response(found, 503, _RETRY_AFTER)
    return json_response(found)


def _is_operator(metrics_token: str | None) -> bool:
    request = current_request.get()
    if request.on_metrics_port:
        return True
    scheme, _, presented = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return (
        metrics_token is not None
        and scheme.lower() == "bearer"
        and hmac.compare_digest(presented.encode(), metrics_token.encode())
    )
