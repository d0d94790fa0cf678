"""A user who signs out at oidc-provider, as it comes, is signed out here."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, build_opener

import pytest

from testing.http_client import Client
from testing.node import NODE, install_packages
from testing.service import ROOT, free_port, running_service
from testing.world import minted

CLIENT_ID = "chat"
REDIRECT_URI = "https://app.example/callback"
PROVIDER = Path(__file__).with_name("provider.mjs")
PACKAGES = ROOT / "bench" / "peers" / "sessions"


class Browser:
    """A browser with a session at the provider."""

    def __init__(self, provider: str, user_id: str) -> None:
        self._provider = provider
        self._open = build_opener(HTTPCookieProcessor(CookieJar()), _UntilTheApp()).open
        query = urlencode(
            {
                "client_id": CLIENT_ID,
                "response_type": "code",
                "scope": "openid",
                "redirect_uri": REDIRECT_URI,
            }
        )
        _, at = self._get(f"{provider}/auth?{query}")
        _, at = self._get(at, prompt="login", login=user_id, password="any")
        _, at = self._get(at, prompt="consent")
        code = parse_qs(urlsplit(at).query)["code"][0]
        page, _ = self._get(
            f"{provider}/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=REDIRECT_URI,
            client_id=CLIENT_ID,
        )
        self.id_token: str = json.loads(page)["id_token"]

    def sign_out(self) -> None:
        """Sign out at the provider, which then sends the logout token."""
        page, _ = self._get(f"{self._provider}/session/end")
        token = re.search(r'name="xsrf" value="(\w+)"', page)
        assert token, page
        self._get(f"{self._provider}/session/end/confirm", xsrf=token[1], logout="yes")

    def _get(self, url: str, **form: str) -> tuple[str, str]:
        """Return a page and its URL, that of the app without its page."""
        try:
            with self._open(url, urlencode(form).encode() if form else None, timeout=30) as page:
                return page.read().decode(), page.url
        except HTTPError as error:
            location = error.headers.get("Location", "")
            assert location.startswith(REDIRECT_URI), f"{error} {error.read().decode()}"
            return "", location


class _UntilTheApp(HTTPRedirectHandler):
    def redirect_request(self, *args):
        *_, url = args
        return None if url.startswith(REDIRECT_URI) else super().redirect_request(*args)


@pytest.fixture(params=["user", "session"])
def setup(request, tmp_path) -> Iterator[tuple[str, str, str]]:
    """Yield what a logout ends, and the URLs of the provider and of the service."""
    install_packages(PACKAGES)
    service_url = f"http://127.0.0.1:{free_port()}"
    environ = {
        **os.environ,
        "PACKAGES": str(PACKAGES),
        "CLIENT_ID": CLIENT_ID,
        "REDIRECT_URI": REDIRECT_URI,
        "EVENTS_URL": f"{service_url}/v1/issuers/oidc/events",
    }
    with (
        (tmp_path / "provider.log").open("wb") as log,
        subprocess.Popen([NODE, PROVIDER], env=environ, stdout=subprocess.PIPE, stderr=log) as node,
    ):
        try:
            assert node.stdout is not None
            provider = node.stdout.readline().decode().strip()
            assert provider, (tmp_path / "provider.log").read_text()
            issuer = {
                "name": "oidc",
                "issuer": provider,
                "audience": CLIENT_ID,
                "discovery": True,
                "events": {"audience": CLIENT_ID, "logout": request.param},
            }
            with running_service(
                tmp_path,
                TOKENSVC_BIND=service_url.removeprefix("http://"),
                TOKENSVC_ISSUERS=json.dumps([issuer]),
            ):
                yield request.param, provider, service_url
        finally:
            node.terminate()


@pytest.mark.slow
def test_user_who_signs_out_at_the_provider_is_signed_out_here(setup):
    ends, provider, service_url = setup
    browsers = [Browser(provider, "ada") for _ in range(2)]
    users = [
        Client(service_url, {"Authorization": f"Bearer {browser.id_token}"}) for browser in browsers
    ]
    assert [minted(user).status for user in users] == [200, 200]
    browsers[0].sign_out()
    refused = minted(users[0])
    assert (refused.status, refused.json["code"]) == (401, "sign_in_required")
    assert minted(users[1]).status == (401 if ends == "user" else 200)
