"""A minted token has the same bytes as those of Stream's SDK and PyJWT, and needs a permit."""

import ast
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_chat import StreamChat

import tokensvc
from tests.vectors import make_stream_tokens
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.states import KeyState
from tokensvc.tokens import signer
from tokensvc.tokens.rules import Permit

SOURCES = Path(tokensvc.__file__).parent
VECTORS = json.loads(make_stream_tokens.PATH.read_text(encoding="utf-8"))

user_ids = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@_-", min_size=1)
secrets = st.text(st.characters(codec="utf-8"), min_size=32)
times = st.integers(1, 2**40)


def permit(secret: str, user_id: str, iat: int, exp: int) -> Permit:
    key = StreamKey("key", secret.encode(), KeyState.ACTIVE)
    return Permit(user_id=user_id, key=key, now=iat + 5, issued_at=iat, expires_at=exp, user=None)


def test_vectors_equal_the_sdks_tokens() -> None:
    """The file is the output of the generator with the installed SDK."""
    assert make_stream_tokens.vectors() == VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_token_equals_the_vector(vector: dict[str, Any]) -> None:
    claims = {name: value for name, value in vector.items() if name != "token"}
    assert signer.sign(permit(**claims)).token == vector["token"]


@given(secret=secrets, user_id=user_ids, iat=times, exp=times)
def test_token_equals_those_of_the_libraries(secret: str, user_id: str, iat: int, exp: int) -> None:
    """PyJWT and `stream-chat` make the same bytes from any legal claims."""
    token = signer.sign(permit(secret, user_id, iat, exp)).token
    claims = {"user_id": user_id, "exp": exp, "iat": iat}
    assert token == jwt.encode(claims, secret, "HS256")
    assert token == StreamChat("key", secret).create_token(user_id, exp, iat)


@pytest.mark.sec(22)
@given(secret=secrets, user_id=user_ids, iat=times, exp=times)
def test_token_has_exactly_three_claims(secret: str, user_id: str, iat: int, exp: int) -> None:
    """`user_id` is a string, `iat` and `exp` are integers; the header has `alg` and `typ` only."""
    token = signer.sign(permit(secret, user_id, iat, exp)).token
    decoded = jwt.decode_complete(token, options={"verify_signature": False})
    assert decoded["header"] == {"alg": "HS256", "typ": "JWT"}
    assert decoded["payload"] == {"user_id": user_id, "exp": exp, "iat": iat}
    assert (type(decoded["payload"]["exp"]), type(decoded["payload"]["iat"])) == (int, int)


@given(secret=secrets, user_id=user_ids, iat=times, exp=times)
def test_payload_is_also_standard_base64(secret: str, user_id: str, iat: int, exp: int) -> None:
    """Two SDKs read the payload with the standard base64 alphabet, which has no `-` and `_`."""
    payload = signer.sign(permit(secret, user_id, iat, exp)).token.split(".")[1]
    assert not set("-_=") & set(payload)


def test_minted_token_describes_the_claims_and_hides_the_token() -> None:
    minted = signer.sign(permit("s" * 32, "john", 1_794_999_995, 1_795_003_600))
    assert (minted.issued_at, minted.expires_at) == (1_794_999_995, 1_795_003_600)
    assert (minted.user_id, minted.api_key, minted.expires_in) == ("john", "key", 3600)
    assert minted.token not in repr(minted)


def functions_that_call(*names: str) -> list[tuple[str, str]]:
    """Return (file, function) of every call in the package by one of these names."""
    return [(file, function) for file, function, name in all_calls() if name in names]


@functools.cache
def all_calls() -> list[tuple[str, str, str]]:
    """Return (file, function, name of what it calls) of every call in the package."""
    return [
        (path.relative_to(SOURCES).as_posix(), function, ast.unparse(call.func))
        for path in sorted(SOURCES.rglob("*.py"))
        for function, call in calls_in(ast.parse(path.read_text(encoding="utf-8")), "<module>")
    ]


def calls_in(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        name = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(child, ast.Call):
            yield name, child
        yield from calls_in(child, name)


@pytest.mark.sec(22, 23)
def test_permit_is_made_in_one_place() -> None:
    """Only `authorize` constructs one; no code that knows the type copies one with other fields."""
    assert functions_that_call("Permit", "rules.Permit") == [("tokens/rules.py", "authorize")]
    packages = {
        path.relative_to(SOURCES).parts[0]
        for path in SOURCES.rglob("*.py")
        if re.search(r"\bPermit\b", path.read_text(encoding="utf-8"))
    }
    assert packages == {"tokens"}
    copying = functions_that_call(
        "replace", "dataclasses.replace", "copy.copy", "copy.replace", "structs.replace"
    )
    assert not [file for file, _ in copying if file.startswith("tokens/")]


@pytest.mark.sec(22)
def test_only_the_signer_signs_user_tokens() -> None:
    """
    Only `sign` makes a user token.

    The other functions with an HMAC verify one, make the server token for Stream, the checksum of a
    refresh token, and the chain of an audit export with a key of its own.
    """
    assert functions_that_call("MintedToken", "signer.MintedToken") == [
        ("tokens/signer.py", "sign")
    ]
    assert functions_that_call("hmac.digest", "hmac.new", "hmac.HMAC", "digest", "HMAC") == [
        ("sessions/refresh_tokens.py", "_mac"),
        ("stream/wire.py", "_server_token"),
        ("tokens/inspection.py", "_signed_by"),
        ("tokens/signer.py", "sign"),
        ("vault/vault.py", "__init__"),
        ("vault/vault.py", "mac"),
    ]
    (argument,) = signer.sign.__annotations__.keys() - {"return"}
    assert signer.sign.__annotations__[argument] is Permit
