"""Flask with Authlib: rotated refresh tokens, ES256 access tokens, the service's password hash."""

import os
import secrets
import time
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_query_client_func,
    create_save_token_func,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response, jsonify, request
from joserfc.jwk import ECKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

ISSUER = "https://bench.example"
_hasher = PasswordHasher(
    memory_cost=int(os.environ["BENCH_ARGON2_KIB"]),
    time_cost=int(os.environ["BENCH_ARGON2_PASSES"]),
    parallelism=1,
)
_key = ECKey.generate_key("P-256", auto_kid=True)
engine = sa.create_engine(
    os.environ["TOKENSVC_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"), pool_size=20
)
session = scoped_session(sessionmaker(engine))


class Base(DeclarativeBase):
    """Tables of this peer."""


class User(Base):
    """A user."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    password: Mapped[str]

    def get_user_id(self) -> str:
        """Return what is in `sub`."""
        return self.id


class Client(Base, OAuth2ClientMixin):  # type: ignore[misc]  # Authlib is untyped
    """An OAuth client."""

    __tablename__ = "clients"
    id: Mapped[int] = mapped_column(primary_key=True)


class Token(Base, OAuth2TokenMixin):  # type: ignore[misc]  # Authlib is untyped
    """The refresh token of one rotation, with its access token."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str | None]
    access_token: Mapped[str] = mapped_column(sa.Text, unique=True)  # a JWT is over 255 characters


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """Sign-in with a password."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def authenticate_user(self, username: str, password: str) -> User | None:
        """Return the user with this password."""
        user = session.get(User, username)
        try:
            _hasher.verify(user.password if user else _unused, password)
        except VerifyMismatchError:
            return None
        return user


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """Refresh with rotation."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Return the valid token with this text."""
        found = session.scalar(sa.select(Token).where(Token.refresh_token == refresh_token))
        return found if found is not None and not found.is_revoked() else None

    def authenticate_user(self, refresh_token: Token) -> User | None:
        """Return the user of a token."""
        return session.get(User, refresh_token.user_id)

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """End the token that was used."""
        now = int(time.time())
        refresh_token.access_token_revoked_at = now
        refresh_token.refresh_token_revoked_at = now
        session.commit()


class Generator(JWTBearerTokenGenerator):  # type: ignore[misc]
    """Access tokens as RFC 9068 has them."""

    def get_jwks(self) -> ECKey:
        """Return the key that signs."""
        return _key


def new_refresh_token(**_: Any) -> str:
    """Return a random refresh token."""
    return secrets.token_urlsafe(36)


app = Flask(__name__)
_unused = _hasher.hash(secrets.token_hex())
Base.metadata.create_all(engine)
_client_of = create_query_client_func(session, Client)
server = AuthorizationServer(app, _client_of, create_save_token_func(session, Token))
server.register_token_generator(
    "default",
    Generator(ISSUER, alg="ES256", refresh_token_generator=new_refresh_token),
)
for grant in (PasswordGrant, RefreshGrant, grants.ClientCredentialsGrant):
    server.register_grant(grant)


def _add_client(client_id: str, secret: str, method: str, *grant_types: str) -> None:
    client = Client(client_id=client_id, client_secret=secret, client_id_issued_at=0)
    metadata = {"grant_types": grant_types, "token_endpoint_auth_method": method, "scope": "api"}
    client.set_client_metadata(metadata)
    session.add(client)
    session.commit()


_add_client("app", "", "none", "password", "refresh_token")
_add_client(
    os.environ["BENCH_CLIENT_ID"],
    os.environ["BENCH_CLIENT_SECRET"],
    "client_secret_basic",
    "client_credentials",
)


@app.post("/token")
def token() -> Response:
    """Respond to a token request."""
    response: Response = server.create_token_response()
    return response


@app.post("/bench/seed")
def seed() -> Response:
    """Create users, and return new refresh tokens."""
    wanted = request.get_json()
    users = wanted["users"]
    names = [f"{users['prefix']}{number}" for number in range(users["count"])]
    stored = _hasher.hash(users["password"])
    for name in names:
        session.merge(User(id=name, password=stored))
    tokens = [new_refresh_token() for _ in range(wanted["refreshTokens"])]
    now = int(time.time())
    for number, text in enumerate(tokens):
        session.add(
            Token(
                client_id="app",
                token_type="Bearer",
                scope="api",
                access_token=secrets.token_urlsafe(16),
                refresh_token=text,
                user_id=names[number % len(names)],
                issued_at=now,
                expires_in=600,
            )
        )
    session.commit()
    return jsonify(tokens)


@app.teardown_appcontext
def _close(_: BaseException | None) -> None:
    session.remove()
