"""An app with chat, for the SDK tests: its identity provider, its backend, and the real service."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import sqlalchemy as sa
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from testing.doubles.http_double import Call
from testing.response import Response
from testing.service import Service, running_service
from testing.service_clients import make_client
from tokensvc.clients.state import NewServiceClient
from tokensvc.database import tables
from tokensvc.database.engine import Database

ISSUER = "https://id.acme.example"
AUDIENCE = "chat"
OTHER_KEY = "other-api-key"
"""A key of the same Stream app that the service does not sign for."""

PASSED_ON = ("authorization", "content-type", "accept")
PASSED_BACK = ("Cache-Control", "Retry-After")


class ChatApp:
    """
    The app: signs its users in, and has a running tokensvc with one service client.

    Attributes:
        backend: The service client of the app's own backend.
    """

    def __init__(self, service: Service, database: Database, key: rsa.RSAPrivateKey) -> None:
        self.service = service
        self.backend: NewServiceClient = make_client(database, "backend", "tokens:mint")
        self._database = database
        self._key = key

    @property
    def token_url(self) -> str:
        return f"{self.service.base_url}/v1/token"

    def sign_in(self, user_id: str, **claims: Any) -> str:
        """Give what the identity provider gives a user who has just signed in."""
        now = int(time.time())
        stated = {"iss": ISSUER, "aud": AUDIENCE, "sub": user_id}
        times = {"iat": now, "auth_time": now, "exp": now + 3600}
        return jwt.encode({**stated, **times, **claims}, self._key, "RS256")

    def mint(self, credential: str, **body: Any) -> urllib3.BaseHTTPResponse:
        """Ask for a token as a client does."""
        return urllib3.request(
            "POST",
            self.token_url,
            json=body,
            headers={"Authorization": f"Bearer {credential}"},
            retries=False,
        )

    def suspend(self, user_id: str) -> None:
        self._set_standing(user_id, suspended_at=int(time.time()))

    def revoke(self, user_id: str, cut_off: int) -> None:
        """Set a cut-off: sign-ins and tokens from before it are not good any more."""
        self._set_standing(user_id, tokens_valid_after=cut_off, floor=cut_off)

    def respond(self, call: Call) -> Response:
        """Pass a call on to the service, for a double that stands in between."""
        answer = urllib3.request(
            call.method,
            f"{self.service.base_url}{call.target}",
            body=call.body,
            headers={name: call.headers[name] for name in PASSED_ON if name in call.headers},
            retries=False,
            timeout=30,
        )
        headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        return Response(answer.status, answer.data, headers)

    def _set_standing(self, user_id: str, **values: int) -> None:
        with self._database.write() as tx:
            tx.execute(sa.delete(tables.user_standings).filter_by(user_id=user_id))
            tx.execute(sa.insert(tables.user_standings).values(user_id=user_id, **values))


@contextmanager
def running_chat_app(folder: Path, **settings: str) -> Iterator[ChatApp]:
    """Run an app until the block ends. Tokens live as long as set, to the second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_keys = folder / "issuer.pem"
    public_keys.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    issuer = {"name": "acme", "issuer": ISSUER, "audience": AUDIENCE}
    issuer["public_keys_file"] = str(public_keys)
    settings = {
        "TOKENSVC_ISSUERS": json.dumps([issuer]),
        "TOKENSVC_TOKEN__JITTER": "0",
        **settings,
    }
    with running_service(folder, **settings) as service:
        database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
        try:
            yield ChatApp(service, database, key)
        finally:
            database.close()
