"""A Flask site: sessions, a sign-in, and the blueprint of examples/flask."""

import time

from flask import Flask, request, session

from examples.flask.chat import chat

app = Flask(__name__)
app.secret_key = "only for tests"
app.register_blueprint(chat)


@app.post("/sign-in")
def sign_in() -> dict[str, str]:
    session.update(user_id=request.args["user"], signed_in_at=int(time.time()))
    if "undated" in request.args:
        del session["signed_in_at"]
    return {"user_id": session["user_id"]}
