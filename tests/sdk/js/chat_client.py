"""A chat client of the app."""

from typing import Any

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.sdk_driver import Driver
from testing.service import STREAM_API_KEY
from tests.sdk.chat_app import ChatApp


class ChatClient:
    """
    The unmodified SDK with the provider of `clients/js`, for one user at a time.

    Attributes:
        tokens: Double between the client and the service, which records the provider's calls.
    """

    def __init__(
        self, driver: Driver, app: ChatApp, stream: StreamDouble, tokens: HttpDouble
    ) -> None:
        self.driver = driver
        self.stream = stream
        self.tokens = tokens
        self._app = app

    def make(self, *, api_key: str = STREAM_API_KEY, **options: Any) -> None:
        """Create the SDK's client."""
        self.driver.call("makeClient", apiKey=api_key, baseURL=self.stream.url, options=options)

    def sign_in(self, user_id: str, **options: Any) -> None:
        """Sign the user in at the identity provider, and create their token provider."""
        self.driver.call(
            "makeProvider",
            url=f"{self.tokens.url}/v1/token",
            **{
                "apiKey": STREAM_API_KEY,
                "credentials": [self._app.sign_in(user_id)],
                **options,
            },
        )

    def connect(self, user_id: str, **user: Any) -> dict[str, Any]:
        me: dict[str, Any] = self.driver.call("connectUser", user={"id": user_id, **user})
        return me

    def query_users(self, times: int = 1) -> list[list[str]]:
        found: list[list[str]] = self.driver.call("queryUsers", times=times)
        return found

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.driver.call("eventsOf", type=event, count=count)
        return events

    @property
    def token_calls(self) -> int:
        """Number of the provider's calls."""
        return len(self.tokens.calls.to("POST", "/v1/token"))
