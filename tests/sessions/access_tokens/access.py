"""Access tokens of a database with signing keys, for tests."""

import jwt
import msgspec
import pytest

from tests.sessions.access_tokens.signing import SigningWorld
from tests.stream.keys.ring import VAULT
from tokensvc.core.errors import Refusal
from tokensvc.issuers.verify import parse
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.rules import Family
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.rules import Epochs

URL = "https://tokens.example"
SETTINGS = SessionSettings()
NOW = 1_800_000_000.75
SCOPES = frozenset({"tokens:mint", "users:read"})


def family(**members):
    return Family(
        **{
            "id": "5d0c" * 8,
            "user_id": "ada",
            "client_id": "app",
            "counter": 3,
            "rotated_at": NOW - 1,
            "created_at": NOW - 1000.5,
            "last_used_at": NOW - 1,
            "epochs": Epochs(0, 0),
            "ended_at": None,
            **members,
        }
    )


class AccessWorld(SigningWorld):
    """A database with signing keys, and the access tokens of one process."""

    def __init__(self, database):
        super().__init__(database)
        self.rotation.step()
        self.tokens = self.tokens_of()

    def tokens_of(self, **lifetimes):
        """Return the access tokens of another process."""
        keys = SigningKeys(self.database, VAULT)
        return AccessTokens(keys, URL, SessionSettings(**lifetimes))

    def mint(self, now=NOW, **members):
        minted = self.tokens.mint_for_user(family(**members), now=now, ring_version=self.version())
        return minted.token

    def mint_for_service(self, ends_at=None):
        minted = self.tokens.mint_for_service(
            "svc.shop", "sec_1", SCOPES, ends_at=ends_at, now=NOW, ring_version=self.version()
        )
        return minted.token

    def verify(self, token, now=NOW):
        verified = self.tokens.verify(parse(token))
        verified.check_not_expired(now)
        return verified

    def refusal(self, token, now=NOW):
        with pytest.raises(Refusal) as refused:
            self.verify(token, now)
        return refused.value

    def signed(self, claims=None, header=None, **changed):
        """Return a token of this service's own key with other claims or header members."""
        key = self.keys.signing_key(self.version())
        if claims is None:
            claims = unverified(self.mint()) | changed
        claims = {name: value for name, value in claims.items() if value is not ...}
        members = {"typ": "at+jwt", "kid": key.kid, **(header or {})}
        return jwt.encode(claims, key.private, algorithm="ES256", headers=members)

    def decoded(self, token):
        """Return the claims as PyJWT reads them with the published keys."""
        jwks = jwt.PyJWKSet.from_dict(msgspec.to_builtins(self.keys.up_to_date_ring().jwks))
        return jwt.decode(
            token,
            jwks[jwt.get_unverified_header(token)["kid"]],
            algorithms=["ES256"],
            audience=URL,
            issuer=URL,
            options={"verify_exp": False, "verify_iat": False, "strict_aud": True},
        )


def unverified(token):
    return jwt.decode(token, options={"verify_signature": False})
