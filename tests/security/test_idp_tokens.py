"""Hostile tokens of identity providers: SECURITY 1 to 16, on issuers with published keys."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.conftest import ManualClock
from tests.doubles.issuer import IssuerDouble, base64url, compact, private_key, public_jwk
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.verify import MAX_TOKEN_LENGTH

NOW = 1_800_000_000
CLOCK = ManualClock(NOW)

Forge = Callable[[IssuerDouble], str]


@pytest.fixture(scope="module")
def idp() -> Iterator[IssuerDouble]:
    with IssuerDouble(clock=CLOCK) as double:
        ec_key = public_jwk(private_key("ES256"), kid="ec", use="sig")
        enc_key = public_jwk(private_key("RS256", 7), kid="enc", use="enc")
        weak_key = public_jwk(private_key("RS256", bits=1024), kid="weak")
        double.published += [ec_key, enc_key, weak_key]
        yield double


@pytest.fixture(scope="module")
def make(idp: IssuerDouble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a function that makes issuers which know the double's keys."""
    path = tmp_path_factory.mktemp("idp") / "tokensvc.db"
    database = Database.open(f"sqlite:///{path}", pool_size=2)
    schema.migrate(database)

    def make(**members: Any) -> Issuers:
        issuers = Issuers(
            [idp.settings(**members)],
            JwksSettings(),
            Alphabet.DOCUMENTED,
            IssuerKeyStore(database),
            CLOCK,
        )
        issuers.refresh()
        return issuers

    yield make
    database.close()


@pytest.fixture(scope="module")
def issuers(make) -> Issuers:
    return make(algorithms=["RS256", "ES256"])


def refused(issuers: Issuers, token: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(token)
    return caught.value


def assert_invalid(issuers: Issuers, token: str) -> None:
    refusal = refused(issuers, token)
    assert refusal.code is Code.CREDENTIALS_INVALID
    assert refusal.detail


def with_header(token: str, **header: Any) -> str:
    """Swap a token's header; the signature is that of the old one."""
    _, payload, signature = token.split(".")
    return f"{base64url(json.dumps(header).encode())}.{payload}.{signature}"


def with_payload(idp: IssuerDouble, text: str | bytes) -> str:
    """Sign a payload that no library would write."""
    return idp.sign(text if isinstance(text, bytes) else text.encode())


def payload_with(idp: IssuerDouble, extra: str, **changes: Any) -> str:
    """Sign good claims with a piece of JSON put at the end."""
    return with_payload(idp, f"{json.dumps(idp.claims(**changes))[:-1]},{extra}}}")


def test_the_good_token_is_good(issuers: Issuers, idp: IssuerDouble) -> None:
    """What the others differ from is accepted."""
    assert issuers.authenticate(idp.token()).user_id == "john"


@pytest.mark.sec(1)
@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "none ", "", None])
@pytest.mark.parametrize("signature", ["", "AAAA", "kept"])
def test_no_algorithm_is_no_signature(
    name: str | None, signature: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """`alg` none, in any letter case, is refused whatever stands in the signature."""
    head, payload, kept = with_header(idp.token(), alg=name, kid=idp.kids[0]).split(".")
    assert_invalid(issuers, f"{head}.{payload}.{kept if signature == 'kept' else signature}")


def public_key_spellings() -> dict[str, bytes]:
    key = private_key("RS256").public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = public_jwk(private_key("RS256"), kid="key-0", use="sig", alg="RS256")
    return {
        "PEM": pem,
        "PEM without end": pem.strip(),
        "PEM, PKCS 1": key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "SSH": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(jwk).encode(),
        "JWKS": json.dumps({"keys": [jwk]}).encode(),
        "JWK with a byte order mark": b"\xef\xbb\xbf" + json.dumps(jwk).encode(),
        "modulus": base64.urlsafe_b64decode(jwk["n"] + "=="),
        "empty": b"",
    }


@pytest.mark.sec(2)
@pytest.mark.parametrize("spelling", public_key_spellings())
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_secret(
    algorithm: str, spelling: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """HS* with the published key as its secret is refused, in every spelling of the key."""
    header = {"alg": algorithm, "typ": "JWT", "kid": idp.kids[0]}
    secret = public_key_spellings()[spelling]
    assert_invalid(issuers, compact(header, idp.claims(), secret, algorithm))


@pytest.mark.sec(2)
def test_an_algorithm_that_the_issuer_does_not_use_is_refused(make, idp: IssuerDouble) -> None:
    """The allow-list is the issuer's own, though the key is published and the signature genuine."""
    token = compact({"alg": "ES256", "kid": "ec"}, idp.claims(), private_key("ES256"), "ES256")
    assert make(algorithms=["RS256", "ES256"]).authenticate(token).user_id == "john"
    assert_invalid(make(algorithms=["RS256"]), token)


@pytest.mark.sec(3)
@pytest.mark.parametrize(
    ("header", "key", "algorithm"),
    [
        ({"alg": "RS256", "kid": "ec"}, ("ES256", 0), "ES256"),
        ({"alg": "ES256", "kid": "key-0"}, ("RS256", 0), "RS256"),
        ({"alg": "ES256", "kid": "ec"}, ("RS256", 0), "RS256"),
        ({"alg": "RS256", "kid": "key-0"}, ("RS256", 0), "PS256"),
        ({"alg": "RS256", "kid": "key-0"}, ("RS256", 0), "RS512"),
        ({"alg": "ES256", "kid": "ec"}, ("ES384", 0), "ES384"),
    ],
)
def test_the_algorithm_must_be_the_key_s(
    header, key, algorithm: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """A header cannot have a key of one kind verify with the algorithm of another."""
    assert_invalid(issuers, compact(header, idp.claims(), private_key(*key), algorithm))


@pytest.mark.sec(4)
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
@pytest.mark.parametrize("kid", ["key-0", "mine", None])
def test_a_token_does_not_bring_its_own_key(
    member: str, kid: str | None, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Keys and addresses in the header are not looked at: only the issuer's own verify."""
    mine = private_key("RS256", 9)
    values = {
        "jwk": public_jwk(mine, kid="mine"),
        "jku": f"{idp.url}/mine.json",
        "x5u": f"{idp.url}/mine.pem",
        "x5c": [base64.b64encode(b"certificate").decode()],
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": kid, member: values[member]}
    forged = compact(
        {name: value for name, value in header.items() if value is not None},
        idp.claims(),
        mine,
        "RS256",
    )
    assert_invalid(issuers, forged)
    assert idp.hits("/mine.json") == idp.hits("/mine.pem") == 0
    genuine = idp.sign(idp.claims(), header={member: values[member]})
    assert issuers.authenticate(genuine).user_id == "john"


@pytest.mark.sec(5)
@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"crit": "b64"},
        {"crit": {"b64": 1}},
        {"crit": False},
        {"b64": False},
        {"b64": True},
    ],
)
def test_no_critical_extension_is_understood(
    header: dict[str, Any], issuers: Issuers, idp: IssuerDouble
) -> None:
    """`crit` and `b64` are refused in every form, though the signature is genuine."""
    assert_invalid(issuers, idp.sign(idp.claims(), header=header))


@pytest.mark.sec(6)
@pytest.mark.parametrize(
    "kid",
    [
        "../../../../etc/passwd",
        "/dev/null",
        "key-0' OR '1'='1",
        "key-0\x00",
        "key-0\n",
        "KEY-0",
        " key-0",
        "",
        "\ud800",
        "k" * 5000,
        0,
        1.5,
        True,
        {"kid": "key-0"},
        ["key-0"],
    ],
)
def test_a_key_id_is_a_text_that_is_looked_up_and_nothing_else(
    kid: Any, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Paths, SQL, control characters and other types find no key; nothing of it is logged."""
    with structlog.testing.capture_logs() as lines:
        assert_invalid(issuers, idp.sign(idp.claims(), header={"kid": kid}))
    assert not lines


@pytest.mark.sec(6, 10)
@pytest.mark.parametrize("member", ["kid", "typ"])
def test_a_header_member_that_is_null_is_refused(
    member: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """It is there and is no text, which is not the same as not there."""
    header = {"alg": "RS256", "typ": "JWT", "kid": idp.kids[0], member: None}
    assert_invalid(issuers, compact(header, idp.claims(), idp.key(), "RS256"))


@pytest.mark.sec(6, 14)
def test_a_key_id_of_ten_kilobytes_is_not_even_read(issuers: Issuers, idp: IssuerDouble) -> None:
    """The whole token is too long."""
    assert_invalid(issuers, idp.sign(idp.claims(), header={"kid": "k" * 10_000}))


@pytest.mark.sec(7)
@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "auth_time"])
def test_a_claim_that_decides_must_be_there(
    claim: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Without expiry, issuer, audience or sign-in a token is 401; without a subject it is 422."""
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
def test_a_time_is_an_integer_in_a_sane_range(
    claim: str, text: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Texts, fractions, huge numbers and the rest are refused, though the signature is genuine."""
    claims = {name: value for name, value in idp.claims().items() if name != claim}
    assert_invalid(issuers, with_payload(idp, f'{json.dumps(claims)[:-1]},"{claim}":{text}}}'))


@pytest.mark.sec(8)
def test_a_time_beyond_exact_integers_is_refused_under_any_setting(make, idp: IssuerDouble) -> None:
    """However long tokens may live."""
    issuers = make(max_lifetime=2**60)
    assert issuers.authenticate(idp.token(exp=2**53 - 1))
    assert_invalid(issuers, idp.token(exp=2**53))


@pytest.mark.sec(8)
def test_a_token_does_not_live_longer_than_its_issuer_s_may(
    issuers: Issuers, make, idp: IssuerDouble
) -> None:
    """24 hours by default, to the second; an expiry a year away is refused."""
    day = NOW + 86400
    assert issuers.authenticate(idp.token(exp=day))
    assert_invalid(issuers, idp.token(exp=day + 1))
    assert_invalid(issuers, idp.token(exp=NOW + 365 * 86400))
    assert make(max_lifetime=31 * 86400).authenticate(idp.token(exp=NOW + 31 * 86400))


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
def test_the_issuer_is_compared_exactly(change, issuers: Issuers, idp: IssuerDouble) -> None:
    """A slash, a letter's case, a part of it or a list is another issuer."""
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
def test_a_token_for_another_audience_is_refused(
    audience: Any, issuers: Issuers, idp: IssuerDouble
) -> None:
    """`aud` must be, or as a list of texts hold, exactly the configured one."""
    assert_invalid(issuers, idp.token(aud=audience))


@pytest.mark.sec(9)
def test_one_of_several_audiences_is_enough(issuers: Issuers, idp: IssuerDouble) -> None:
    """`azp` is compared only where the settings name it."""
    token = idp.token(aud=["other", "chat"], azp="some-client")
    assert issuers.authenticate(token).user_id == "john"


@pytest.mark.sec(9)
def test_the_authorized_party_is_compared_where_it_is_named(make, idp: IssuerDouble) -> None:
    """As the audience, or as a required claim, and then exactly."""
    for members in ({"audience_claim": "azp"}, {"required_claims": {"azp": "chat"}}):
        issuers = make(**members)
        assert issuers.authenticate(idp.token(azp="chat"))
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
def test_a_required_claim_is_compared_with_its_type(
    required: Any, held: Any, make, idp: IssuerDouble
) -> None:
    """In Python `True == 1`; here it is not."""
    issuers = make(required_claims={"token_use": required})
    assert issuers.authenticate(idp.token(token_use=required))
    assert_invalid(issuers, idp.token(token_use=held))


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
def test_the_type_must_be_one_that_signs_in(
    typ: Any, accepted: bool, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Tokens of other types are genuine and are no sign-in; one without a type passes."""
    token = idp.sign(idp.claims(), header={"typ": typ})
    if accepted:
        assert issuers.authenticate(token).user_id == "john"
    else:
        assert_invalid(issuers, token)


@pytest.mark.sec(12)
@pytest.mark.parametrize("leeway", [0, 10, 60])
def test_the_leeway_is_to_the_second(leeway: int, make, idp: IssuerDouble) -> None:
    """It holds for `exp`, `nbf`, `iat` and the sign-in, and no further."""
    issuers = make(clock_leeway=leeway)
    for claim in ("iat", "nbf", "auth_time"):
        assert issuers.authenticate(idp.token(**{claim: NOW + leeway}))
        assert_invalid(issuers, idp.token(**{claim: NOW + leeway + 1}))
    issued = NOW - 100
    assert issuers.authenticate(idp.token(iat=issued, exp=NOW - leeway + 1))
    assert refused(issuers, idp.token(iat=issued, exp=NOW - leeway)).code is (
        Code.CREDENTIALS_EXPIRED
    )


@pytest.mark.sec(12)
def test_expired_says_that_nothing_else_is_wrong(issuers: Issuers, idp: IssuerDouble) -> None:
    """A forged, or another audience's, token is invalid even when it has expired too."""
    times = {"iat": NOW - 100, "exp": NOW - 50}
    assert refused(issuers, idp.token(**times)).code is Code.CREDENTIALS_EXPIRED
    assert_invalid(issuers, idp.token(aud="other", **times))
    assert_invalid(issuers, idp.token(**times)[:-8] + "AAAAAAAA")


@pytest.mark.sec(13)
def test_an_address_counts_only_when_it_is_verified(make, idp: IssuerDouble) -> None:
    """Else whoever types another's e-mail address at the provider would become them here."""
    issuers = make(user_id_claim="email", user_id_mapping="escape")
    address = "jane@example.com"
    caller = issuers.authenticate(idp.token(email=address, email_verified=True))
    assert caller.user_id == "jane@example_2ecom"
    for verified in (False, None, "true", 1, "false"):
        refusal = refused(issuers, idp.token(email=address, email_verified=verified))
        assert refusal.code is Code.USER_ID_INVALID


@pytest.mark.sec(13)
@pytest.mark.parametrize("mapping", ["exact", "escape", "hash"])
def test_the_same_subject_of_two_issuers_is_two_users(
    mapping: str, make, idp: IssuerDouble
) -> None:
    """Prefixes keep them apart under every mapping."""
    ids = {
        make(user_id_mapping=mapping, user_id_prefix=prefix).authenticate(idp.token()).user_id
        for prefix in ("a-", "b-")
    }
    assert len(ids) == 2


@pytest.mark.sec(14)
def test_a_token_is_measured_before_it_is_read(issuers: Issuers, idp: IssuerDouble) -> None:
    """8 KiB pass; one character more, or a megabyte, is refused."""
    for spare in range(3):
        padding = "x" * (5500 - len(idp.token()) * 3 // 4 + spare)
        token = idp.token(padding=padding)
        while len(token) <= MAX_TOKEN_LENGTH:
            longest = token
            padding += "x"
            token = idp.token(padding=padding)
        assert issuers.authenticate(longest).user_id == "john"
        assert "longer" in refused(issuers, token).detail
    assert "longer" in refused(issuers, "a" * 2**20).detail


@pytest.mark.sec(15)
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused(opening: str, issuers: Issuers, idp: IssuerDouble) -> None:
    """In the payload, in the header, and as the whole of them: 401, not a crash."""
    deep = opening * (5000 // len(opening))
    assert_invalid(issuers, with_payload(idp, deep))
    assert_invalid(issuers, f"{base64url(deep.encode())}.e30.AAAA")
    assert_invalid(issuers, payload_with(idp, f'"deep":{"[" * 2000}{"]" * 2000}', aud="other"))


@pytest.mark.sec(16)
@pytest.mark.parametrize("claim", ["sub", "exp", "iss", "aud", "x"])
def test_a_member_that_stands_twice_is_refused(
    claim: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Two libraries would read two different tokens."""
    value = json.dumps(idp.claims(x=1)[claim])
    assert_invalid(issuers, payload_with(idp, f'"{claim}":{value}', x=1))
    escaped = f"\\u{ord(claim[0]):04x}{claim[1:]}"
    assert_invalid(issuers, payload_with(idp, f'"{escaped}":{value}', x=1))


@pytest.mark.sec(16)
@pytest.mark.parametrize("extra", ['"x":NaN', '"x":[Infinity]', '"x":{"y":-Infinity}', '"jti":5'])
def test_what_is_no_json_or_no_jwt_is_refused_wherever_it_stands(
    extra: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Even in a claim that nobody reads."""
    assert_invalid(issuers, payload_with(idp, extra))


@pytest.mark.sec(16)
@pytest.mark.parametrize(
    "header", ['{"alg":"RS256","kid":"key-0","kid":"key-0"}', '{"alg":"RS256","alg":"none"}']
)
def test_a_header_member_that_stands_twice_is_refused(
    header: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """As a claim."""
    assert_invalid(issuers, compact(header.encode(), idp.claims(), idp.key(), "RS256"))


@pytest.mark.sec(16)
@pytest.mark.parametrize("claim", ["sub", "iss", "aud", "azp", "jti", "x"])
def test_a_lone_surrogate_crashes_nothing(claim: str, issuers: Issuers, idp: IssuerDouble) -> None:
    """JSON can spell it and UTF-8 cannot: 422 as a subject, 401 where it is compared."""
    token = idp.token(**{claim: "a\ud800"})
    if claim == "sub":
        assert refused(issuers, token).code is Code.USER_ID_INVALID
    elif claim in {"iss", "aud"}:
        assert_invalid(issuers, token)
    else:
        assert issuers.authenticate(token).user_id == "john"


@pytest.mark.sec(16)
@pytest.mark.parametrize("subject", ["", 1, 1.5, True, None, ["john"], {"id": "john"}])
def test_a_subject_that_is_no_text_is_no_user(
    subject: Any, issuers: Issuers, idp: IssuerDouble
) -> None:
    """It is 422: the credential is genuine."""
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
def test_what_is_no_json_object_is_refused(
    payload: bytes, issuers: Issuers, idp: IssuerDouble
) -> None:
    """As payload and as header: other encodings, other types, other languages."""
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
def test_a_token_has_one_spelling(spoil, issuers: Issuers, idp: IssuerDouble) -> None:
    """Three canonical base64url segments; padding, blanks and other alphabets are refused."""
    assert_invalid(issuers, spoil(idp.token()))


def test_left_over_bits_are_refused(issuers: Issuers, idp: IssuerDouble) -> None:
    """The last character of a segment carries no bit beyond its bytes: one token, one text."""
    token = idp.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for character in alphabet:
        try:
            issuers.authenticate(token[:-1] + character)
        except Refusal:
            continue
        accepted.append(character)
    assert accepted == [token[-1]]


@pytest.mark.sec(24)
def test_a_stream_token_is_no_credential(issuers: Issuers, idp: IssuerDouble) -> None:
    """What this service mints cannot be exchanged for more of it, even if it named the issuer."""
    header = {"alg": "HS256", "typ": "JWT"}
    minted = {"user_id": "john", "exp": NOW + 3600, "iat": NOW - 5}
    secret = b"a-stream-secret-of-more-than-32-bytes"
    assert_invalid(issuers, compact(header, minted, secret, "HS256"))
    assert_invalid(issuers, compact(header, {**idp.claims(), **minted}, secret, "HS256"))


@pytest.mark.sec(9)
def test_a_token_of_another_issuer_s_key_is_refused(issuers: Issuers, idp: IssuerDouble) -> None:
    """A stranger's own issuer, whatever it signs, is nobody here."""
    with IssuerDouble(clock=CLOCK) as stranger:
        assert_invalid(issuers, stranger.token())
        stranger.rotate()
        forged = stranger.sign(idp.claims(), header={"kid": idp.kids[0]})
        assert_invalid(issuers, forged)


@pytest.mark.sec(20)
@pytest.mark.parametrize(("kid", "key"), [("enc", ("RS256", 7)), ("weak", ("RS256", 0, 1024))])
def test_a_key_that_must_not_be_used_verifies_nothing(
    kid: str, key: tuple[Any, ...], issuers: Issuers, idp: IssuerDouble
) -> None:
    """A genuine signature with a published encryption key, or a short one, is refused."""
    header = {"alg": "RS256", "typ": "JWT", "kid": kid}
    assert_invalid(issuers, compact(header, idp.claims(), private_key(*key), "RS256"))


def test_the_tokens_of_this_file_are_what_they_seem(idp: IssuerDouble) -> None:
    """PyJWT takes the good one for good too, so that refusals here are about what was changed."""
    key = private_key("RS256").public_key()
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    assert jwt.decode(idp.token(), key, ["RS256"], options=options)["sub"] == "john"
