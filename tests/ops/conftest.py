"""The application and the client of the HTTP tests, whose routes include those of `ops`."""

from tests.http.conftest import app, client, probe

__all__ = ["app", "client", "probe"]
