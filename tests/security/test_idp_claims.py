"""Hostile tokens of identity providers: genuine signatures on claims that must not pass."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from testing.doubles.issuer import IssuerDouble
from tests.issuers.refusals import authenticate, refused
from tests.security.conftest import NOW
from tests.security.idp_tokens import assert_invalid, with_payload
from tokensvc.core.errors import Code
from tokensvc.issuers.service import Issuers

MakeIssuers = Callable[..., Issuers]


@pytest.mark.sec(7)
@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "auth_time"])
def test_token_without_a_required_claim_is_refused(
    claim: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """401, or 422 without a subject."""
    refusal = refused(issuers, idp.token(**{claim: None}))
    expected = Code.USER_ID_INVALID if claim == "sub" else Code.CREDENTIALS_INVALID
    assert refusal.code is expected
    assert claim == "sub" or f"`{claim}`" in refusal.detail


@pytest.mark.sec(8)
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "auth_time"])
@pytest.mark.parametrize(
    "text",
    [
        f'"{NOW}"',
        f"{NOW}.0",
        f"{NOW}.5",
        "1.8e9",
        "1e400",
        "9" * 400,
        "9" * 5000,
        str(2**53),
        "-1",
        "true",
        "null",
        "[]",
        "{}",
        f"[{NOW}]",
        "NaN",
        "Infinity",
        "-Infinity",
    ],
)
def test_time_that_is_not_a_small_integer_is_refused(
    claim: str, text: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Although the signature is genuine."""
    claims = {name: value for name, value in idp.claims().items() if name != claim}
    assert_invalid(issuers, with_payload(idp, f'{json.dumps(claims)[:-1]},"{claim}":{text}}}'))


@pytest.mark.sec(8)
def test_time_of_2_to_the_53_is_refused_with_any_setting(
    make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    issuers = make_issuers(max_lifetime=2**60)
    assert authenticate(issuers, idp.token(exp=2**53 - 1))
    assert_invalid(issuers, idp.token(exp=2**53))


@pytest.mark.sec(8)
def test_token_beyond_the_maximum_lifetime_is_refused(
    issuers: Issuers, make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    """24 hours by default, to the second."""
    day = NOW + 86400
    assert authenticate(issuers, idp.token(exp=day))
    assert_invalid(issuers, idp.token(exp=day + 1))
    assert_invalid(issuers, idp.token(exp=NOW + 365 * 86400))
    assert authenticate(make_issuers(max_lifetime=31 * 86400), idp.token(exp=NOW + 31 * 86400))


@pytest.mark.sec(9)
@pytest.mark.parametrize(
    "change",
    [
        lambda issuer: issuer + "/",
        lambda issuer: issuer[:-1],
        lambda issuer: issuer.replace("http", "HTTP"),
        lambda issuer: issuer.replace("http://", "https://"),
        lambda issuer: issuer + "\x00",
        lambda issuer: [issuer],
        lambda issuer: {"iss": issuer},
        lambda _: "",
        lambda _: 1,
    ],
)
def test_issuer_is_compared_exactly(change, issuers: Issuers, idp: IssuerDouble) -> None:
    assert_invalid(issuers, idp.token(iss=change(idp.issuer)))


@pytest.mark.sec(9)
@pytest.mark.parametrize(
    "audience",
    [
        "other",
        "chat/",
        "CHAT",
        "cha",
        "chat ",
        "",
        ["other"],
        [],
        ["chat", 1],
        [["chat"]],
        {"chat": 1},
        1,
        True,
    ],
)
def test_token_for_another_audience_is_refused(
    audience: Any, issuers: Issuers, idp: IssuerDouble
) -> None:
    """`aud` must be, or as a list of strings contain, the configured value."""
    assert_invalid(issuers, idp.token(aud=audience))


@pytest.mark.sec(9)
def test_one_of_several_audiences_suffices(issuers: Issuers, idp: IssuerDouble) -> None:
    """`azp` is compared only if a setting names it."""
    token = idp.token(aud=["other", "chat"], azp="some-client")
    assert authenticate(issuers, token).user_id == "john"


@pytest.mark.sec(9)
def test_configured_azp_is_compared_exactly(make_issuers: MakeIssuers, idp: IssuerDouble) -> None:
    """As the audience, or as a required claim."""
    for members in ({"audience_claim": "azp"}, {"required_claims": {"azp": "chat"}}):
        issuers = make_issuers(**members)
        assert authenticate(issuers, idp.token(azp="chat"))
        for azp in ("other", ["chat"], None, 1):
            assert_invalid(issuers, idp.token(azp=azp))


@pytest.mark.sec(9)
@pytest.mark.parametrize(
    ("required", "held"),
    [
        ("access", "id"),
        ("access", ["access"]),
        ("access", None),
        (True, 1),
        (1, True),
        (1, "1"),
        (True, "true"),
        (1, 1.0),
    ],
)
def test_required_claim_is_compared_with_its_type(
    required: Any, held: Any, make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    """In Python `True == 1`; here it is not."""
    issuers = make_issuers(required_claims={"token_use": required})
    assert authenticate(issuers, idp.token(token_use=required))
    assert_invalid(issuers, idp.token(token_use=held))


@pytest.mark.sec(9)
@pytest.mark.parametrize(
    ("required", "claims", "accepted"),
    [
        ({"use": ["access", 1]}, {"use": "access"}, True),
        ({"use": ["access", 1]}, {"use": 1}, True),
        ({"use": ["access", 1]}, {"use": True}, False),
        ({"use": ["access", 1]}, {"use": "id"}, False),
        ({"use": ["access", 1]}, {"use": ["access", 1]}, False),
        ({"a.b": "x"}, {"a": {"b": "x"}}, True),
        ({"a.b.c": "x"}, {"a": {"b": {"c": "x"}}}, True),
        ({"a.b": "x"}, {"a": {"b": "y"}}, False),
        ({"a.b": "x"}, {"a": "x"}, False),
        ({"a.b": "x"}, {"a": ["b", "x"]}, False),
        ({"a.b": "x"}, {"b": "x"}, False),
        ({"a.b": "x"}, {"a.b": "y", "a": {"b": "x"}}, False),
        ({"a.b": "x"}, {"a.b": "x", "a": {"b": "y"}}, True),
        ({"https://acme.example/role": "x"}, {"https://acme.example/role": "x"}, True),
        (
            {"https://acme.example/user.role": "x"},
            {"https://acme.example/user": {"role": "x"}},
            True,
        ),
    ],
)
def test_required_claim_can_be_a_member_and_have_one_of_several_values(
    required: Any, claims: Any, accepted: bool, make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    """A claim whose own name has dots has precedence over a member of another claim."""
    issuers = make_issuers(required_claims=required)
    if accepted:
        assert authenticate(issuers, idp.token(**claims))
    else:
        assert_invalid(issuers, idp.token(**claims))


@pytest.mark.sec(10)
@pytest.mark.parametrize(
    ("typ", "accepted"),
    [
        ("JWT", True),
        ("jwt", True),
        ("at+jwt", True),
        ("application/at+jwt", True),
        (None, True),
        ("logout+jwt", False),
        ("secevent+jwt", False),
        ("dpop+jwt", False),
        ("", False),
        ("JWT ", False),
        (1, False),
        (["JWT"], False),
    ],
)
def test_token_of_another_type_is_refused(
    typ: Any, accepted: bool, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Such as a logout token; a token without a type passes."""
    token = idp.sign(idp.claims(), header={"typ": typ})
    if accepted:
        assert authenticate(issuers, token).user_id == "john"
    else:
        assert_invalid(issuers, token)


@pytest.mark.sec(12)
@pytest.mark.parametrize("leeway", [0, 10, 60])
def test_leeway_is_exact_to_the_second(
    leeway: int, make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    """It applies to `exp`, `nbf` and `iat`."""
    issuers = make_issuers(clock_leeway=leeway)
    for claim in ("iat", "nbf"):
        assert authenticate(issuers, idp.token(**{claim: NOW + leeway}))
        assert_invalid(issuers, idp.token(**{claim: NOW + leeway + 1}))
    issued = NOW - 100
    assert authenticate(issuers, idp.token(iat=issued, exp=NOW - leeway + 1))
    assert refused(issuers, idp.token(iat=issued, exp=NOW - leeway)).code is (
        Code.CREDENTIALS_EXPIRED
    )


@pytest.mark.sec(12)
def test_expired_means_that_nothing_else_is_wrong(issuers: Issuers, idp: IssuerDouble) -> None:
    """A forged token, or one for another audience, is invalid even if it has expired."""
    times = {"iat": NOW - 100, "exp": NOW - 50}
    assert refused(issuers, idp.token(**times)).code is Code.CREDENTIALS_EXPIRED
    assert_invalid(issuers, idp.token(aud="other", **times))
    assert_invalid(issuers, idp.token(**times)[:-8] + "AAAAAAAA")


@pytest.mark.sec(13)
def test_unverified_email_is_refused(make_issuers: MakeIssuers, idp: IssuerDouble) -> None:
    """Otherwise a user could enter another person's address at the provider and become them."""
    issuers = make_issuers(user_id_claim="email", user_id_mapping="escape")
    address = "jane@example.com"
    caller = authenticate(issuers, idp.token(email=address, email_verified=True))
    assert caller.user_id == "jane@example_2ecom"
    for verified in (False, None, "true", 1, "false"):
        refusal = refused(issuers, idp.token(email=address, email_verified=verified))
        assert refusal.code is Code.USER_ID_INVALID


@pytest.mark.sec(13)
@pytest.mark.parametrize("mapping", ["exact", "escape", "hash"])
def test_same_subject_of_two_issuers_is_two_users(
    mapping: str, make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    """The prefixes differ, with every mapping."""
    ids = {
        authenticate(
            make_issuers(user_id_mapping=mapping, user_id_prefix=prefix), idp.token()
        ).user_id
        for prefix in ("a-", "b-")
    }
    assert len(ids) == 2
