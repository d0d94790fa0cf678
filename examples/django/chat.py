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


@receiver(user_logged_in)
def store_sign_in_time(request, **_):
    request.session["signed_in_at"] = int(time.time())  # user.last_login is of any session


def refuse(status, code, detail, headers=None):
    return JsonResponse({"code": code, "detail": detail}, status=status, headers=headers)


@csrf_exempt  # changes nothing, and no other origin can read the response
def chat_token(request):
    if not request.user.is_authenticated:
        return refuse(401, "sign_in_required", "Sign in first.")
    identity = {"user_id": str(request.user.pk), "auth_time": request.session.get("signed_in_at")}
    try:
        body = json.loads(request.body or "{}") | identity  # the client may name its api_key
    except (ValueError, TypeError, RecursionError):
        return refuse(400, "malformed_request", "The body is not a JSON object.")
    try:
        response = requests.post(settings.CHAT_URL, json=body, auth=settings.CHAT_CLIENT, timeout=4)
        result = response.json()
    except requests.RequestException as error:
        logger.error("No response from the token service: %s", error)
        detail = "The token service does not respond."
        return refuse(503, "temporarily_unavailable", detail, {"Retry-After": "2"})
    code = result.get("code", "")
    if code.startswith(("credentials", "insufficient_scope")):  # of this backend, not of the user
        logger.error("The token service refuses this backend: %s %s", code, result["detail"])
        return refuse(502, "backend_refused", f"The token service refuses this backend: {code}.")
    headers = {k: v for k, v in response.headers.items() if k in ("Cache-Control", "Retry-After")}
    return JsonResponse(result, status=response.status_code, headers=headers)
