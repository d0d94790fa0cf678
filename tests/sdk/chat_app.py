"""An app with chat for the SDK tests: its identity provider, its backend and the real service."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from testing.doubles.http_double import Call
from testing.doubles.stream import StreamDouble
from testing.response import Response
from testing.service_clients import make_client
from testing.world import World, running_world
from tokensvc.clients.state import NewServiceClient

OTHER_KEY = "other-api-key"
"""API key of the same Stream app that the service does not have."""

FORWARDED = ("authorization", "content-type", "accept")
RETURNED = ("Cache-Control", "Retry-After")


class ChatApp(World):
    """
    The app, which signs its users in, and its service.

    Attributes:
        server: Service client of the app's own backend.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.server: NewServiceClient = make_client(self.database, "server", "tokens:mint")

    @property
    def token_url(self) -> str:
        return f"{self.service.base_url}/v1/token"

    def sign_in(self, user_id: str, **claims: Any) -> str:
        """Return the provider's token of a user who signs in now."""
        return self.issuer.token(sub=user_id, **claims)

    def mint(self, credential: str, **body: Any) -> urllib3.BaseHTTPResponse:
        """Request a token as a client does."""
        return urllib3.request(
            "POST",
            self.token_url,
            json=body,
            headers={"Authorization": f"Bearer {credential}"},
            retries=False,
        )

    def set_suspended(self, user_id: str) -> None:
        self.set_standing(user_id, suspended_at=int(time.time()))

    def set_cut_off(self, user_id: str, cut_off: int) -> None:
        self.set_standing(user_id, tokens_valid_after=cut_off, floor=cut_off)

    def respond(self, call: Call) -> Response:
        """Forward a call to the service, for a double between a client and the service."""
        response = urllib3.request(
            call.method,
            f"{self.service.base_url}{call.target}",
            body=call.body,
            headers={name: call.headers[name] for name in FORWARDED if name in call.headers},
            retries=False,
            timeout=30,
        )
        headers = {name: response.headers[name] for name in RETURNED if name in response.headers}
        return Response(response.status, response.data, headers)


@contextmanager
def running_chat_app(folder: Path, stream: StreamDouble | None = None) -> Iterator[ChatApp]:
    """
    Run an app until the block ends. Its tokens expire exactly after their TTL.

    Args:
        folder: Folder of the database and the log.
        stream: Stream double to deliver to; by default the service does not deliver.
    """
    settings = {"TOKENSVC_TOKEN__JITTER": "0"}
    if stream is None:
        settings["TOKENSVC_STREAM__DELIVERY"] = "off"
    with running_world(folder, ChatApp, stream, **settings) as running:
        yield running
