"""A Django site: sessions, a sign-in, and the view of examples/django."""

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    CHAT_URL=os.environ["CHAT_URL"],
    CHAT_CLIENT=(os.environ["CHAT_CLIENT_ID"], os.environ["CHAT_CLIENT_SECRET"]),
)
django.setup()

from django.contrib.auth import get_user_model, login  # noqa: E402 - Django must be set up first
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

from examples.django.chat import chat_token  # noqa: E402


@csrf_exempt
def sign_in(request: HttpRequest) -> JsonResponse:
    user, _ = get_user_model().objects.get_or_create(username=request.GET["user"])
    login(request, user)
    if "undated" in request.GET:
        del request.session["signed_in_at"]
    return JsonResponse({"user_id": str(user.pk)})


urlpatterns = [path("sign-in", sign_in), path("chat-token", chat_token)]
call_command("migrate", verbosity=0)
application = get_wsgi_application()
