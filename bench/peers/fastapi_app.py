"""The endpoint with FastAPI, PyJWT and `stream-chat`: the same as `by_hand`, on asyncio."""

import os
import time
from pathlib import Path
from typing import Annotated, Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel
from stream_chat import StreamChat

TTL = 3600
SKEW = 5

app = FastAPI()
stream = StreamChat(os.environ["STREAM_API_KEY"], os.environ["STREAM_API_SECRET"])
public_key = cast(
    RSAPublicKey, load_pem_public_key(Path(os.environ["BENCH_PUBLIC_KEY_FILE"]).read_bytes())
)


class TokenRequest(BaseModel):
    """Body of a request."""

    user_id: str
    api_key: str


# `async`, because it waits for nothing: a plain function would run in a pool of threads.
@app.post("/v1/token")
async def token(body: TokenRequest, authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Verify the bearer token, and return a Stream token for its subject."""
    try:
        claims = jwt.decode(
            authorization.removeprefix("Bearer "),
            public_key,
            algorithms=["RS256"],
            audience=os.environ["BENCH_AUDIENCE"],
            issuer=os.environ["BENCH_ISSUER"],
            options={"require": ["exp", "iat", "sub"]},
            leeway=10,
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    if body.user_id != claims["sub"]:
        raise HTTPException(403)
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
