"""Your Django backend as the token provider: its session identifies the user."""

import json
import logging
import time

import requests
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt

logger = logging.getLogger(__name__)
JSON = {"Content-Type": "application/json"}
OF_THE_USER = ("sign_in_required", "user_suspended", "user_erased", "rate_limited")


@receiver(user_logged_in)
def store_sign_in_time(request, **_):
    request.session["signed_in_at"] = int(time.time())  # user.last_login is of any session


def refuse(status, code, detail, headers=None):
    return JsonResponse({"code": code, "detail": detail}, status=status, headers=headers)


@csrf_exempt  # changes nothing; needs SameSite cookies, which are Django's default
def chat_token(request):
    if not request.user.is_authenticated:
        return refuse(401, "sign_in_required", "Sign in first.")
    identity = {"user_id": str(request.user.pk), "auth_time": request.session.get("signed_in_at")}
    try:
        asked = json.loads(request.body or "{}") | identity  # may name api_key and user
        payload = json.dumps(asked, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return refuse(400, "malformed_request", "The body is not a JSON object.")
    try:
        response = requests.post(
            settings.CHAT_URL, data=payload, headers=JSON, auth=settings.CHAT_CLIENT, timeout=4
        )
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
    return JsonResponse(body, status=response.status_code, headers=headers)
