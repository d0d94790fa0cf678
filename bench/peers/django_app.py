"""Django with djangorestframework-simplejwt: rotation, blacklist, ES256, the service's hash."""

import json
import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

_url = urlsplit(os.environ["TOKENSVC_DATABASE_URL"])
_private = ec.generate_private_key(ec.SECP256R1())
settings.configure(
    SECRET_KEY=os.environ["STREAM_API_SECRET"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "rest_framework_simplejwt.token_blacklist",
    ],
    PASSWORD_HASHERS=[f"{__name__}.Hasher"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _url.path.removeprefix("/"),
            "USER": _url.username,
            "HOST": parse_qs(_url.query)["host"][0],
            "CONN_MAX_AGE": None,
        }
    },
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    SIMPLE_JWT={
        "ALGORITHM": "ES256",
        "SIGNING_KEY": _private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        "VERIFYING_KEY": _private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        "ROTATE_REFRESH_TOKENS": True,
        "BLACKLIST_AFTER_ROTATION": True,
    },
)
django.setup()

from django.contrib.auth.hashers import Argon2PasswordHasher, make_password  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework_simplejwt.tokens import RefreshToken  # noqa: E402
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView  # noqa: E402


class Hasher(Argon2PasswordHasher):
    """The parameters of the service."""

    memory_cost = int(os.environ["BENCH_ARGON2_KIB"])
    time_cost = int(os.environ["BENCH_ARGON2_PASSES"])
    parallelism = 1


def seed(request: HttpRequest) -> JsonResponse:
    """Create users, and return new refresh tokens."""
    wanted: dict[str, Any] = json.loads(request.body)
    users = wanted["users"]
    stored = make_password(users["password"])
    names = [f"{users['prefix']}{number}" for number in range(users["count"])]
    new = [User(username=name, password=stored) for name in names]
    User.objects.bulk_create(new, ignore_conflicts=True)
    found = list(User.objects.filter(username__in=names))
    tokens = [
        str(RefreshToken.for_user(found[number % len(found)]))
        for number in range(wanted["refreshTokens"])
    ]
    return JsonResponse(tokens, safe=False)


urlpatterns = [
    path("bench/seed", seed),
    path("token/", TokenObtainPairView.as_view()),
    path("token/refresh/", TokenRefreshView.as_view()),
]
call_command("migrate", verbosity=0)
app = get_wsgi_application()
