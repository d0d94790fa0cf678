"""
One bounded GET of a provider's document.

Adds to `http.send_request` the rules for documents that an untrusted server sends: which URLs and
addresses are allowed, status 200 only, no content encoding. `issuers/jwks` decides when to fetch
and what a failure means.
"""

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus

from tokensvc.core.addresses import Address, Network
from tokensvc.core.deadline import Deadline
from tokensvc.net.addresses import check_key_url, is_loopback_url, may_connect
from tokensvc.net.http import HttpResponse, NoResponseError, NotSentError, send_request

MAX_BYTES = 256 * 1024
_REDIRECTS = range(300, 400)


class FetchError(Exception):
    """The document is unavailable. The text tells the operator why."""


def fetch(
    url: str, deadline: Deadline, *, allowed_networks: Sequence[Network], loopback_allowed: bool
) -> bytes:
    """
    Return the body of a 200 response.

    Args:
        url: An https URL, or http on this machine.
        allowed_networks: Networks that are allowed although they are not public.
        loopback_allowed: Whether the operator configured the URL; a URL from a fetched document
            must not lead to this machine.

    Raises:
        FetchError: Any failure.
    """
    try:
        check_key_url(url)
    except ValueError as error:
        raise FetchError(f"the URL {error}") from None
    is_allowed = partial(
        may_connect,
        allowed_networks=allowed_networks,
        loopback_allowed=loopback_allowed and is_loopback_url(url),
    )
    try:
        response = send_request(
            "GET",
            url,
            headers={"Accept": "application/json"},
            deadline=deadline,
            max_bytes=MAX_BYTES,
            check_addresses=partial(_check_addresses, is_allowed),
        )
    except NoResponseError as error:
        raise FetchError(str(error)) from error
    return _body(response)


def _check_addresses(
    is_allowed: Callable[[Address], bool], host: str, addresses: list[Address]
) -> list[Address]:
    allowed = [address for address in addresses if is_allowed(address)]
    if not allowed:
        raise NotSentError(
            f"{host} is at {', '.join(map(str, addresses))}, which is not public: "
            "add its network to jwks.allowed_networks if that is correct"
        )
    return allowed


def _body(response: HttpResponse) -> bytes:
    if response.status in _REDIRECTS:
        raise FetchError(f"status {response.status}: redirects are not followed")
    if response.status != HTTPStatus.OK:
        raise FetchError(f"status {response.status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError("the response has a content encoding that was not requested")
    return response.body
