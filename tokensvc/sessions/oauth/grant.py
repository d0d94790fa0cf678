"""What the grants and the revocation share: the client of a request, and the services they call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from tokensvc.clients.service import SecretCaller
from tokensvc.core.errors import malformed
from tokensvc.limits.service import Limiter
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.client_ids import public_client_id
from tokensvc.sessions.issued import TokenResponse
from tokensvc.sessions.service import Sessions
from tokensvc.standing.rules import RingVersion


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OAuth:
    """
    The services that grants and the revocation call.

    Attributes:
        signing_ring_now: Function that returns the time of the database in epoch seconds, and the
            version of the ring of signing keys.
    """

    signing_ring_now: Callable[[], tuple[float, RingVersion]]
    sessions: Sessions
    access_tokens: AccessTokens
    limiter: Limiter


class ClientForm(msgspec.Struct, frozen=True):
    """
    The client in the body of a request.

    Attributes:
        client_id: Client that sends the request. Default: `app`.
        client_secret: Secret of a service that does not use `Authorization: Basic`.
    """

    client_id: str = ""
    client_secret: str = ""

    def __repr__(self) -> str:
        """Leave out the secret and the tokens."""
        return f"{type(self).__name__}(client_id={self.client_id!r})"


class Client(NamedTuple):
    """
    The client of a request.

    Attributes:
        service: The service that it is, authenticated; `None` for an app.
        app_id: ID that an app sent, "" if none.
        address: Its address, for the limit on failures.
    """

    service: SecretCaller | None
    app_id: str
    address: str

    @property
    def id(self) -> str:
        """ID of the service or the app. A malformed one is refused."""
        return public_client_id(self.app_id) if self.service is None else self.service.client_id


class Grant(NamedTuple):
    """
    A grant type.

    Attributes:
        form: Struct of its requests, a `ClientForm`.
        tokens: Function that returns the tokens for a form of a client.
    """

    form: type[Any]
    tokens: Callable[[OAuth, Any, Client], TokenResponse]


def required(value: str, name: str) -> str:
    """
    Return the value of a parameter.

    Raises:
        Refusal: `malformed_request`: it is missing.
    """
    if not value:
        raise malformed(f"`{name}` is missing.")
    return value
