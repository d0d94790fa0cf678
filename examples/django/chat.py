"""Your Django backend as the token provider: its session identifies the user."""

import json
import time

import requests
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt


@receiver(user_logged_in)
def store_sign_in_time(request, **_):
    request.session["signed_in_at"] = int(time.time())  # user.last_login is of any session


@csrf_exempt  # changes nothing, and no other origin can read the response
def chat_token(request):
    if not request.user.is_authenticated:
        return JsonResponse({"code": "sign_in_required", "detail": "Sign in first."}, status=401)
    identity = {"user_id": str(request.user.pk), "auth_time": request.session.get("signed_in_at")}
    body = {**json.loads(request.body or "{}"), **identity}  # the client may name its api_key
    response = requests.post(settings.CHAT_URL, json=body, auth=settings.CHAT_CLIENT, timeout=4)
    if response.json().get("code", "").startswith(("credentials", "insufficient_scope")):
        return JsonResponse({}, status=502)  # a fault between the backends, not of the user
    headers = {k: v for k, v in response.headers.items() if k in ("Cache-Control", "Retry-After")}
    return JsonResponse(response.json(), status=response.status_code, headers=headers)
