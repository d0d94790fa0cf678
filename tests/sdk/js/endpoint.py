"""Responses of a service that the tests of `clients/js` plan."""

from testing.response import Response

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiam9obiJ9.c2lnbmF0dXJl"


def problem(status: int, code: str, **headers: str) -> Response:
    return Response(status, {"status": status, "code": code, "detail": f"because {code}"}, headers)


def grant(number: int, expires_in: int = 600) -> Response:
    """Return the response of a sign-in or of a refresh."""
    return Response(
        200,
        {
            "access_token": f"access-{number}",
            "token_type": "Bearer",
            "expires_in": expires_in,
            "refresh_token": f"refresh-{number}",
        },
    )
