"""
Your Flask backend as the token provider: its session identifies the user.

When you sign a user in, store `user_id` and `signed_in_at` (epoch seconds) in the session.
"""

import json
import logging
import os

import requests
from flask import Blueprint, request, session

CHAT_URL = os.environ["CHAT_URL"]
CHAT_CLIENT = (os.environ["CHAT_CLIENT_ID"], os.environ["CHAT_CLIENT_SECRET"])

chat = Blueprint("chat", __name__)
logger = logging.getLogger(__name__)
JSON = {"Content-Type": "application/json"}
OF_THE_USER = ("sign_in_required", "user_suspended", "user_erased", "rate_limited")


def refuse(status, code, detail, headers=None):
    return {"code": code, "detail": detail}, status, headers


@chat.post("/chat-token")
def chat_token():
    if "user_id" not in session:
        return refuse(401, "sign_in_required", "Sign in first.")
    identity = {"user_id": session["user_id"], "auth_time": session.get("signed_in_at")}
    try:
        asked = json.loads(request.data or "{}") | identity  # may name api_key and user
        payload = json.dumps(asked, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return refuse(400, "malformed_request", "The body is not a JSON object.")
    try:
        response = requests.post(CHAT_URL, data=payload, headers=JSON, auth=CHAT_CLIENT, timeout=4)
        body = response.json()
        code = str(body.get("code"))
    except (requests.RequestException, AttributeError) as error:  # no response, or no JSON object
        logger.error("No response from the token service: %s", error)
        detail = "The token service does not respond."
        return refuse(503, "temporarily_unavailable", detail, {"Retry-After": "2"})
    if 400 <= response.status_code < 500 and code not in OF_THE_USER:
        logger.error("The token service refuses the request: %s %s", code, body.get("detail"))
    if code.startswith(("credentials", "insufficient_scope")):  # of this backend
        return refuse(502, "backend_refused", f"The token service refuses this backend: {code}.")
    headers = {k: v for k, v in response.headers.items() if k in ("Cache-Control", "Retry-After")}
    return body, response.status_code, headers
