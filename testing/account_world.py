"""The running service with built-in accounts, whose sessions a test opens without a password."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from testing.http_client import Client
from testing.response import Response
from testing.service import EVERYTHING
from testing.sessions import ENCRYPTION_KEY, VAULT, open_session, sessions_on
from testing.waiting import wait_until
from testing.world import World, running_world
from tokensvc.core.clock import system_clock
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.issued import IssuedSession
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring

PUBLIC_URL = "https://tokens.example"


class AccountWorld(World):
    """A service with built-in accounts."""

    def open_session(self, user_id: str = "ada", client_id: str = "app") -> IssuedSession:
        """Open a session as a sign-in does that has just checked a password."""
        sessions = sessions_on(self.database, system_clock)
        with self.database.write() as tx:
            return open_session(tx, sessions, user_id, client_id)

    def oauth(self, form: dict[str, str], **options: Any) -> Response:
        """Send a request of an OAuth client for tokens."""
        return self.anonymous.post("/oauth/token", form=form, **options)

    def refresh(self, refresh_token: str, **more: str) -> Response:
        """Refresh a session."""
        return self.oauth({"grant_type": "refresh_token", "refresh_token": refresh_token, **more})

    def revoke_token(self, token: str, **more: str) -> Response:
        """Revoke a token as an OAuth client does."""
        return self.anonymous.post("/oauth/revoke", form={"token": token, **more})

    def access_token(self, grant: IssuedSession, age: float = 0) -> str:
        """
        Return an access token of a session.

        Args:
            age: Seconds since it was issued.
        """
        url = self.settings.get("TOKENSVC_PUBLIC_URL", PUBLIC_URL)
        tokens = AccessTokens(SigningKeys(self.database, VAULT), url, SessionSettings())
        with self.database.read() as connection:
            version = ring_versions.read(connection, Ring.SIGNING)
        minted = tokens.mint_for_user(grant.family, now=time.time() - age, ring_version=version)
        return minted.token

    def with_token(self, token: str) -> Client:
        """Return a client that sends a bearer token."""
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def signed_in_here(self, user_id: str = "ada") -> Client:
        """Return a user of a built-in account with a new session."""
        return self.with_token(self.access_token(self.open_session(user_id)))


W = TypeVar("W", bound=AccountWorld)


@contextlib.contextmanager
def running_account_world(
    folder: Path, kind: type[W] = AccountWorld, **settings: str
) -> Iterator[W]:
    """
    Run a service with built-in accounts until the block ends.

    Args:
        folder: Folder of the database and the log.
        kind: `AccountWorld` or a subclass.
        settings: Further environment variables.
    """
    settings = {
        **EVERYTHING,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([ENCRYPTION_KEY]),
        "TOKENSVC_STREAM__DELIVERY": "off",
        **settings,
    }
    with running_world(folder, kind, **settings) as world:
        wait_until(
            lambda: bool(world.anonymous.get("/.well-known/jwks.json").json["keys"]),
            "a key signs access tokens",
        )
        yield world
