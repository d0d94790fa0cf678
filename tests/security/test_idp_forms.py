"""Hostile tokens of identity providers: size, depth, encodings and spellings."""

import json
from typing import Any

import pytest

from testing.doubles.issuer import IssuerDouble, base64url, compact
from tests.issuers.refusals import authenticate, refused
from tests.security.idp_tokens import assert_invalid, payload_with, with_payload
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.service import Issuers


@pytest.mark.sec(14)
def test_token_over_8_kib_is_refused(issuers: Issuers, idp: IssuerDouble) -> None:
    """The number of the requirement, not a constant of the service."""
    for spare in range(3):
        padding = "x" * (5500 - len(idp.token()) * 3 // 4 + spare)
        token = idp.token(padding=padding)
        while len(token) <= 8192:
            longest = token
            padding += "x"
            token = idp.token(padding=padding)
        assert authenticate(issuers, longest).user_id == "john"
        assert "longer" in refused(issuers, token).detail
    assert "longer" in refused(issuers, "a" * 2**20).detail


@pytest.mark.sec(15)
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused(opening: str, issuers: Issuers, idp: IssuerDouble) -> None:
    """In payload and header: 401, not a crash."""
    deep = opening * (5000 // len(opening))
    assert_invalid(issuers, with_payload(idp, deep))
    assert_invalid(issuers, f"{base64url(deep.encode())}.e30.AAAA")
    assert_invalid(issuers, payload_with(idp, f'"deep":{"[" * 2000}{"]" * 2000}', aud="other"))


@pytest.mark.sec(16)
@pytest.mark.parametrize("claim", ["sub", "exp", "iss", "aud", "x"])
def test_duplicate_claim_is_refused(claim: str, issuers: Issuers, idp: IssuerDouble) -> None:
    """Two libraries would read two different tokens."""
    value = json.dumps(idp.claims(x=1)[claim])
    assert_invalid(issuers, payload_with(idp, f'"{claim}":{value}', x=1))
    escaped = f"\\u{ord(claim[0]):04x}{claim[1:]}"
    assert_invalid(issuers, payload_with(idp, f'"{escaped}":{value}', x=1))


@pytest.mark.sec(16)
@pytest.mark.parametrize("extra", ['"x":NaN', '"x":[Infinity]', '"x":{"y":-Infinity}', '"jti":5'])
def test_invalid_json_in_an_unused_claim_is_refused(
    extra: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    assert_invalid(issuers, payload_with(idp, extra))


@pytest.mark.sec(16)
@pytest.mark.parametrize(
    "header", ['{"alg":"RS256","kid":"key-0","kid":"key-0"}', '{"alg":"RS256","alg":"none"}']
)
def test_duplicate_header_member_is_refused(
    header: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    assert_invalid(issuers, compact(header.encode(), idp.claims(), idp.key(), "RS256"))


@pytest.mark.sec(16)
@pytest.mark.parametrize("claim", ["sub", "iss", "aud", "azp", "jti", "x"])
def test_lone_surrogate_is_no_crash(claim: str, issuers: Issuers, idp: IssuerDouble) -> None:
    """JSON can express it, UTF-8 cannot: 422 as a subject, 401 where it is compared."""
    token = idp.token(**{claim: "a\ud800"})
    if claim == "sub":
        assert refused(issuers, token).code is Code.USER_ID_INVALID
    elif claim in {"iss", "aud"}:
        assert_invalid(issuers, token)
    else:
        assert authenticate(issuers, token).user_id == "john"


@pytest.mark.sec(16)
@pytest.mark.parametrize("subject", ["", 1, 1.5, True, None, ["john"], {"id": "john"}])
def test_subject_that_is_not_a_string_gets_422(
    subject: Any, issuers: Issuers, idp: IssuerDouble
) -> None:
    """The credential is genuine."""
    assert refused(issuers, idp.token(sub=subject)).code is Code.USER_ID_INVALID


@pytest.mark.sec(16)
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"{}{}",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\n"}',
        b"\xff\xfe",
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-be"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
    ],
)
def test_payload_or_header_that_is_not_a_json_object_is_refused(
    payload: bytes, issuers: Issuers, idp: IssuerDouble
) -> None:
    assert_invalid(issuers, with_payload(idp, payload))
    assert_invalid(issuers, compact(payload, idp.claims(), idp.key(), "RS256"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: ".",
        lambda _: "..",
        lambda token: f"{token}.",
        lambda token: f".{token}",
        lambda token: token.replace(".", "..", 1),
        lambda token: token.rpartition(".")[0],
        lambda token: token.partition(".")[2],
        lambda token: f" {token}",
        lambda token: f"{token}\n",
        lambda token: f"{token}=",
        lambda token: f"{token}==",
        lambda token: token.replace(".", "=.", 1),
        lambda token: token.replace("-", "+").replace("_", "/") + "+",
        lambda token: f"{token}A",
        lambda token: token[:-1],
        lambda token: token.replace(".", "\x00.", 1),
        lambda token: token.replace("e", "\u0435", 1),
        lambda token: token[:-1] + "\ud800",
        lambda token: token * 2,
        lambda token: ".".join(reversed(token.split("."))),
        lambda token: f"{token}.AAAA.AAAA",
    ],
)
def test_malformed_compact_form_is_refused(spoil, issuers: Issuers, idp: IssuerDouble) -> None:
    """Three canonical base64url segments, without padding, spaces or other alphabets."""
    assert_invalid(issuers, spoil(idp.token()))


def test_unused_bits_of_a_segment_are_refused(issuers: Issuers, idp: IssuerDouble) -> None:
    """One token has one text."""
    token = idp.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for character in alphabet:
        try:
            authenticate(issuers, token[:-1] + character)
        except Refusal:
            continue
        accepted.append(character)
    assert accepted == [token[-1]]
