"""
A minimal endpoint as a backend developer writes it: Flask, PyJWT and `stream-chat`.

It checks the credential as the service does, and has no limits, standings, metrics, log lines or
precise refusals.
"""

import os
import time
from pathlib import Path
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask import Flask, abort, request
from stream_chat import StreamChat

TTL = 3600
SKEW = 5

app = Flask(__name__)
stream = StreamChat(os.environ["STREAM_API_KEY"], os.environ["STREAM_API_SECRET"])
# Parsed once: PyJWT would parse a PEM text again for each token.
public_key = cast(
    RSAPublicKey, load_pem_public_key(Path(os.environ["BENCH_PUBLIC_KEY_FILE"]).read_bytes())
)


@app.post("/v1/token")
def token() -> dict[str, Any]:
    """Verify the bearer token and return a Stream token for its subject."""
    body = request.get_json()
    try:
        claims = jwt.decode(
            request.headers["Authorization"].removeprefix("Bearer "),
            public_key,
            algorithms=["RS256"],
            audience=os.environ["BENCH_AUDIENCE"],
            issuer=os.environ["BENCH_ISSUER"],
            options={"require": ["exp", "iat", "sub"]},
            leeway=10,
        )
    except jwt.InvalidTokenError:
        abort(401)
    if body["user_id"] != claims["sub"]:
        abort(403)
    now = int(time.time())
    return {
        "token": stream.create_token(claims["sub"], exp=now + TTL, iat=now - SKEW),
        "user_id": claims["sub"],
        "api_key": stream.api_key,
        "issued_at": now - SKEW,
        "expires_at": now + TTL,
        "expires_in": TTL,
        "user": None,
    }
