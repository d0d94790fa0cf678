"""
The web site of the demo: the page, the operator's requests, and the controls of the scene.

Only its own page can use it: it checks `Host` and `Origin`, and its policy allows no other script.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import urllib3
from flask import Flask, Response, abort, jsonify, request, send_from_directory

from testing.demo.modules import NAMES, source_of
from testing.demo.scene import TOKEN_SECONDS, Scene
from testing.service import ROOT

PAGE = Path(__file__).parent / "page"
CLIENT = ROOT / "clients" / "js"

_USER = r"/v1/users/[A-Za-z0-9@_-]{1,255}"
_KEY = r"/v1/stream-keys/[A-Za-z0-9_]+"
_OPERATOR_REQUESTS = re.compile(
    rf"GET ({_USER}|/v1/stream-keys)"
    rf"|(PUT|DELETE) {_USER}/suspension"
    rf"|DELETE {_USER}"
    rf"|POST ({_USER}/revocations|/v1/stream-keys|{_KEY}/(activate|retire))"
)
"""The requests that the page can send with the operator's credential."""


def make_site(scene: Scene, packages: Path, page_url: str) -> Flask:
    """
    Return the WSGI application.

    Args:
        scene: Running scene.
        packages: Folder of the npm packages.
        page_url: Its own origin.
    """
    site = Flask(__name__, static_folder=None)
    fields = {
        "Content-Security-Policy": _policy(scene),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }

    @site.before_request
    def check_origin() -> None:
        """Another page must not act as the operator, also not by a name that leads here."""
        origin = request.headers.get("Origin")
        is_read = request.method in {"GET", "HEAD"} and origin is None
        if request.host_url != f"{page_url}/" or not (is_read or origin == page_url):
            abort(403, f"Open {page_url}")

    @site.after_request
    def add_fields(response: Response) -> Response:
        response.headers.update(fields)
        return response

    _add_files(site, packages)
    _add_operator(site, scene)
    _add_controls(site, scene)
    return site


def _policy(scene: Scene) -> str:
    """Return the Content-Security-Policy: only files of the site, the service and Stream."""
    (import_map,) = re.findall(
        r'<script type="importmap">(.*?)</script>', (PAGE / "index.html").read_text(), re.DOTALL
    )
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    streams = [scene.stream.url, scene.without_websocket.url]
    sockets = [f"ws{url.removeprefix('http')}" for url in streams]
    connections = " ".join([scene.service_url, *streams, *sockets])
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; "
        f"img-src 'self'; connect-src 'self' {connections}; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def _add_files(site: Flask, packages: Path) -> None:
    @site.get("/")
    def index() -> Response:
        return send_from_directory(PAGE, "index.html")

    @site.get("/page/<path:name>")
    def page_file(name: str) -> Response:
        return send_from_directory(PAGE, name)

    @site.get("/tokensvc-client/<path:name>")
    def client_file(name: str) -> Response:
        return send_from_directory(CLIENT, name)

    @site.get("/packages/<name>.js")
    def package(name: str) -> Response:
        source = source_of(packages, name) if name in NAMES else None
        if source is None:
            abort(404)
        return Response(source, mimetype="text/javascript")


def _add_operator(site: Flask, scene: Scene) -> None:
    @site.route("/operator/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
    def operate(path: str) -> Any:
        if not _OPERATOR_REQUESTS.fullmatch(f"{request.method} /{path}"):
            abort(404)
        try:
            response = scene.operate(request.method, f"/{path}")
        except urllib3.exceptions.HTTPError:
            detail = "The service does not run. Start it."
            return jsonify(title="No response", detail=detail), 502
        return Response(response.data, response.status, content_type="application/json")


def _add_controls(site: Flask, scene: Scene) -> None:
    @site.get("/scene")
    def get_scene() -> Any:
        return jsonify(
            service=scene.service_url,
            stream=scene.stream.url,
            without_websocket=scene.without_websocket.url,
            token_seconds=TOKEN_SECONDS,
            running=scene.is_running,
        )

    @site.put("/scene/service")
    def put_service() -> Any:
        (scene.start_service if request.get_json()["running"] else scene.stop_service)()
        return jsonify(running=scene.is_running)

    @site.post("/scene/expired")
    def expire() -> Any:
        """Make Stream treat a token as expired."""
        scene.stream.app.expired.add(str(request.get_json()["token"]))
        return jsonify({})

    @site.post("/scene/unavailable")
    def make_unavailable() -> Any:
        """Make the service respond 503 to a user for some seconds."""
        scene.make_unavailable(str(request.get_json()["user_id"]))
        return jsonify({})
