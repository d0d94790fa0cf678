"""
Bodies and queries: read completely before any route runs, and parsed once into frozen structs.

A body is read even if no route uses it, so that no byte of it on a kept-alive connection is taken
for the next request. Parsing is stricter than Python's and msgspec's, because another parser could
read the same text differently (`core/strict_json.py`).
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from gunicorn.http.errors import ParseException

from tokensvc.core import current_request, strict_json
from tokensvc.core.errors import Code, Refusal, malformed
from tokensvc.http import credentials

MAX_BODY = 16 * 1024
MAX_PARAMETERS = 32

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Other = TypeVar("_Other", bound=msgspec.Struct)

_CONTENT_TYPE = re.compile(
    r'application/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?;?', re.IGNORECASE
)
_INTEGER = re.compile(r"-?[0-9]{1,4300}")
_BOOLEANS = {"true": True, "false": False}
_BODILESS = frozenset({"DELETE", "GET", "HEAD"})
_MAX_SHOWN_NAME = 64
_MAX_SHOWN_NAMES = 4

NO_NUL = r"^[^\x00]*$"
"""Pattern of text for the database: PostgreSQL does not accept NUL."""


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query of a route without parameters."""


def read_body(environ: Mapping[str, Any]) -> bytes:
    """
    Read the body of a request.

    Its size is bounded with and without Content-Length.

    Raises:
        Refusal: `payload_too_large`; `malformed_request` for malformed framing and for a body that
            ends early or arrives too slowly.
    """
    length = environ.get("CONTENT_LENGTH")
    if length is None:
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if coding is None:
            return b""
        if coding.lower() != "chunked":
            # gunicorn accepts `gzip, chunked` without unpacking it.
            raise Refusal(Code.MALFORMED_REQUEST, "The only supported transfer coding is chunked.")
    elif not (length.isascii() and length.isdigit()):
        raise Refusal(Code.MALFORMED_REQUEST, "Content-Length must be digits.")
    elif len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise _too_large()
    try:
        body: bytes = environ["wsgi.input"].read(MAX_BODY + 1 if length is None else int(length))
    except (ParseException, OSError) as error:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "The body ended early, arrived too slowly, or has malformed chunks.",
            reason=type(error).__name__,
        ) from error
    if len(body) > MAX_BODY:
        raise _too_large()
    if length is not None and len(body) != int(length):
        raise Refusal(Code.MALFORMED_REQUEST, "The body is shorter than Content-Length.")
    return body


def parse_body(struct: type[_Struct]) -> _Struct:
    """
    Parse the JSON body. An empty body is an empty object and needs no Content-Type.

    Raises:
        Refusal: `unsupported_media_type` or `malformed_request`, also if the request has a query.
    """
    check_no_query()
    return _convert(_content(), struct, "body")


def parse_both(query: type[_Other], body: type[_Struct]) -> tuple[_Other, _Struct]:
    """
    Parse the query and the JSON body of a route that has both.

    Raises:
        Refusal: Same as `parse_query` and `parse_body`.
    """
    return parse_query(query), _convert(_content(), body, "body")


def parse_object() -> dict[str, Any]:
    """
    Parse a JSON body that is an object with arbitrary members.

    Raises:
        Refusal: Same as `parse_body`.
    """
    check_no_query()
    content = _content()
    if not isinstance(content, dict):
        raise malformed("The body must be a JSON object.")
    return content


def check_no_query() -> None:
    """Refuse a query, first one with a credential."""
    query = current_request.get().environ.get("QUERY_STRING", "")
    if query:
        credentials.check_query(query)
        raise malformed("This route has no query parameters. Send them in the body.")


def _content() -> Any:
    request = current_request.get()
    if not request.body:
        return {}
    content_type = request.environ.get("CONTENT_TYPE", "")
    if content_type != "application/json" and not _CONTENT_TYPE.fullmatch(content_type):
        raise Refusal(
            Code.UNSUPPORTED_MEDIA_TYPE, "Send JSON as UTF-8 with Content-Type: application/json."
        )
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body without Content-Encoding.")
    return strict_json.parse_body(request.body)


def parse_query(struct: type[_Struct]) -> _Struct:
    """
    Parse the query. Integers are decimal digits, booleans are `true` and `false`.

    Raises:
        Refusal: `malformed_request`, also for a body with a method that has none.
    """
    request = current_request.get()
    if request.body and request.environ["REQUEST_METHOD"] in _BODILESS:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "This method has no body. Send parameters in the query.",
        )
    query = request.environ.get("QUERY_STRING", "")
    if not query:
        return _convert({}, struct, "query")
    credentials.check_query(query)
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
        parameters: dict[str, Any] = strict_json.unique(pairs)
    except ValueError as error:
        raise malformed(
            "The query is malformed. Write name=value, each name once, in percent-encoded UTF-8."
        ) from error
    for name in _integer_fields(struct).intersection(parameters):
        if not _INTEGER.fullmatch(parameters[name]):
            raise malformed(f"`{name}` in the query must be an integer.")
        parameters[name] = int(parameters[name])
    for name in _boolean_fields(struct).intersection(parameters):
        if parameters[name] not in _BOOLEANS:
            raise malformed(f"`{name}` in the query must be true or false.")
        parameters[name] = _BOOLEANS[parameters[name]]
    return _convert(parameters, struct, "query")


def _convert(content: Any, struct: type[_Struct], where: str) -> _Struct:
    if isinstance(content, dict) and not content.keys() <= set(struct.__struct_fields__):
        raise _unknown_members(content, struct.__struct_fields__, where)
    try:
        return msgspec.convert(content, struct)
    except msgspec.ValidationError as error:
        raise malformed(f"The {where} is invalid: {error}.") from error


def _unknown_members(content: dict[str, Any], known: Collection[str], where: str) -> Refusal:
    unknown = [name for name in content if name not in known]
    messages = [_unknown_member_message(name, known, where) for name in unknown[:_MAX_SHOWN_NAMES]]
    if len(unknown) > _MAX_SHOWN_NAMES:
        messages.append(f"{len(unknown) - _MAX_SHOWN_NAMES} more members are unknown.")
    return malformed(" ".join(messages))


def _unknown_member_message(name: str, known: Iterable[str], where: str) -> str:
    shown = name if len(name) <= _MAX_SHOWN_NAME else f"{name[:_MAX_SHOWN_NAME]}…"
    nearest = _nearest(name[:_MAX_SHOWN_NAME], known)
    advice = f"did you mean `{nearest}`?" if nearest else "leave it out."
    return f"`{shown}` is unknown in the {where}: {advice}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant: `user_id` for `userId` or `User-ID`."""
    squeezed = {re.sub("[^a-z0-9]", "", item.lower()): item for item in known}
    close = difflib.get_close_matches(re.sub("[^a-z0-9]", "", name.lower()), squeezed, n=1)
    return squeezed[close[0]] if close else None


@cache
def _integer_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    return _fields_of(struct, msgspec.inspect.IntType)


@cache
def _boolean_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    return _fields_of(struct, msgspec.inspect.BoolType)


def _fields_of(struct: type[msgspec.Struct], kind: type[msgspec.inspect.Type]) -> frozenset[str]:
    described = msgspec.inspect.type_info(struct)
    assert isinstance(described, msgspec.inspect.StructType)  # noqa: S101 - for the type checker
    return frozenset(field.name for field in described.fields if _contains(field.type, kind))


def _contains(described: msgspec.inspect.Type, kind: type[msgspec.inspect.Type]) -> bool:
    if isinstance(described, msgspec.inspect.UnionType):
        return any(_contains(member, kind) for member in described.types)
    return isinstance(described, kind)


def _too_large() -> Refusal:
    return Refusal(Code.PAYLOAD_TOO_LARGE, f"The body is too large. Send at most {MAX_BODY} bytes.")
