"""A FastAPI site: sessions, a sign-in, and the router of examples/fastapi."""

import time

from fastapi import FastAPI, Request
from starlette.middleware.sessions import SessionMiddleware

from examples.fastapi.chat import chat

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="only for tests")
app.include_router(chat)


@app.post("/sign-in")
async def sign_in(request: Request, user: str) -> dict[str, str]:
    request.session.update(user_id=user, signed_in_at=int(time.time()))
    if "undated" in request.query_params:
        del request.session["signed_in_at"]
    return {"user_id": user}
