"""Form-encoded bodies of OAuth clients, parsed once into frozen structs."""

import re
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from tokensvc.core import current_request
from tokensvc.core.errors import malformed
from tokensvc.http.body import MAX_PARAMETERS, check_no_query

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_CONTENT_TYPE = re.compile(
    r'application/x-www-form-urlencoded[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?;?',
    re.IGNORECASE,
)


def parse_form(struct: type[_Struct]) -> _Struct:
    """
    Parse a body of the type `application/x-www-form-urlencoded`.

    Unknown parameters are ignored, and one without a value counts as absent (RFC 6749 section 3.2).

    Args:
        struct: Struct whose members are all texts, by default empty.

    Raises:
        Refusal: As `form_parameters`.
    """
    return msgspec.convert(form_parameters(), struct)


def form_parameters() -> dict[str, str]:
    """
    Return the parameters of a form, also unknown ones.

    Raises:
        Refusal: `malformed_request`, also for a repeated parameter and if the request has a query.
    """
    request = current_request.get()
    check_no_query()
    if not _CONTENT_TYPE.fullmatch(request.environ.get("CONTENT_TYPE", "")):
        raise malformed(
            "Send the parameters as Content-Type: application/x-www-form-urlencoded, not as JSON."
        )
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise malformed("Send the body without Content-Encoding.")
    pairs = _pairs(request.body)
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise malformed("A parameter is repeated: send each one once.")
    return parameters


def _pairs(body: bytes) -> list[tuple[str, str]]:
    if not body:
        return []
    try:
        return parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise malformed(
            "The body is malformed. Write name=value&name=value in percent-encoded UTF-8."
        ) from error
