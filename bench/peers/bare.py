"""A bare Flask route: JSON in, and JSON of the size of a token response out."""

from typing import Any

from flask import Flask, request

TOKEN = "eyJ" + "x" * 158
"""As long as a token for the users of the load, so that responses have the same size."""

app = Flask(__name__)


@app.post("/v1/token")
def token() -> dict[str, Any]:
    """Return the members of the request among constants."""
    body = request.get_json()
    return {
        "token": TOKEN,
        "user_id": body["user_id"],
        "api_key": body["api_key"],
        "issued_at": 1794999995,
        "expires_at": 1795003600,
        "expires_in": 3600,
        "user": None,
    }
