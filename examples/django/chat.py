"""Your Django backend as the token provider of its own users: its session says who asks."""

import json
import time

import requests
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt


@receiver(user_logged_in)
def remember_when(request, **_):
    request.session["signed_in_at"] = int(time.time())  # of this session, unlike user.last_login


@csrf_exempt  # it changes nothing, and no other origin can read the answer
def chat_token(request):
    if not request.user.is_authenticated:
        return JsonResponse({"code": "sign_in_required", "detail": "Sign in first."}, status=401)
    who = {"user_id": str(request.user.pk), "auth_time": request.session.get("signed_in_at")}
    asked = {**json.loads(request.body or "{}"), **who}  # the client may name its api_key
    answer = requests.post(settings.CHAT_URL, json=asked, auth=settings.CHAT_CLIENT, timeout=4)
    if answer.json().get("code", "").startswith(("credentials", "insufficient_scope")):
        return JsonResponse({}, status=502)  # wrong between the two backends, not with the user
    kept = {k: v for k, v in answer.headers.items() if k in ("Cache-Control", "Retry-After")}
    return JsonResponse(answer.json(), status=answer.status_code, headers=kept)
