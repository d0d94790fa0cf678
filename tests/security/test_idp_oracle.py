"""PyJWT as the oracle: `jwt.decode` accepts every accepted token with the same claims."""

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from testing.doubles.issuer import compact, private_key
from tests.issuers.refusals import authenticate
from tokensvc.app.key_files import read_issuer_keys
from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.issuers.verify import parse

ISSUER = "https://id.acme.example"
AUDIENCE = "chat"
KEYS = {"RS256": private_key("RS256", 21), "ES256": private_key("ES256", 21)}
OTHER_KEYS = {"RS256": private_key("RS256", 22), "ES256": private_key("ES256", 22)}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\x00é"

texts = st.text(st.characters(), max_size=20)


def json_values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | texts | leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )


sane_values = json_values(st.floats(allow_nan=False, allow_infinity=False))
values = json_values(st.floats())
subjects = st.from_regex(r"[a-z0-9@_-]{1,40}", fullmatch=True)
offsets = st.sampled_from([-100_000, -3600, -60, 0, 3600, 100_000])


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def issuers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuers]:
    folder = tmp_path_factory.mktemp("oracle")
    path = folder / "keys.pem"
    path.write_bytes(b"".join(pem(key) for key in KEYS.values()))
    acme = IssuerSettings(
        name="acme",
        issuer=ISSUER,
        audience=AUDIENCE,
        public_keys_file=path,
        algorithms=tuple(KEYS),
    )
    database = Database.open(f"sqlite:///{folder / 'unused.db'}", pool_size=1)
    store = IssuerKeyStore(database)
    yield Issuers(
        [acme],
        JwksSettings(),
        Alphabet.DOCUMENTED,
        store,
        time.time,
        key_files=read_issuer_keys([acme]),
        wait_slots=WaitSlots(1),
    )
    database.close()


def oracle(token: str) -> dict[str, Any]:
    """Return the claims as PyJWT reads them, with every check enabled."""
    algorithm = jwt.get_unverified_header(token)["alg"]
    claims: dict[str, Any] = jwt.decode(
        token,
        KEYS[algorithm].public_key(),
        algorithms=[algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=10,
        options={
            "require": ["exp", "iat", "iss", "aud", "sub"],
            "enforce_minimum_key_length": True,
            **dict.fromkeys(
                ["verify_signature", "verify_exp", "verify_nbf", "verify_iat", "verify_aud"], True
            ),
            **dict.fromkeys(["verify_iss", "verify_sub", "verify_jti"], True),
        },
    )
    return claims


def assert_agrees(caller: UserCaller, token: str) -> None:
    claims = oracle(token)
    assert parse(token).claims == claims
    assert caller.user_id == claims["sub"]
    assert caller.signed_in_at == claims["auth_time"]


def good_claims(subject: str) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "auth_time": now,
        "exp": now + 3600,
    }


@st.composite
def changed_claims(draw: st.DrawFn) -> dict[str, Any]:
    """Draw valid claims, some of them removed or changed."""
    claims = {**good_claims(draw(subjects)), **draw(st.dictionaries(texts, values, max_size=3))}
    for name in draw(st.lists(st.sampled_from([*claims, "nbf", "jti"]), max_size=2)):
        match draw(st.sampled_from(["remove", "move", "replace", "text", "list", "fraction"])):
            case "remove":
                claims.pop(name, None)
            case "move":
                claims[name] = int(time.time()) + draw(offsets)
            case "replace":
                claims[name] = draw(values)
            case "text":
                claims[name] = str(claims.get(name))
            case "list":
                claims[name] = [claims.get(name), *draw(st.lists(texts, max_size=2))]
            case "fraction":
                claims[name] = time.time()
    return claims


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """Draw tokens of the issuer and of others, valid, invalid, and changed in transit."""
    algorithm = draw(st.sampled_from(list(KEYS)))
    key = draw(st.sampled_from([KEYS, KEYS, KEYS, OTHER_KEYS]))[algorithm]
    header: dict[str, Any] = {"alg": algorithm, "typ": "JWT"}
    header |= draw(
        st.just({})
        | st.just({})
        | st.fixed_dictionaries({"kid": values | texts})
        | st.fixed_dictionaries({"typ": values | st.sampled_from(["at+jwt", "x"])})
        | st.fixed_dictionaries({"crit": values, "b64": values})
        | st.dictionaries(texts, values, max_size=2)
    )
    payload = json.dumps(draw(changed_claims()))
    if draw(st.integers(0, 9)) == 0:
        payload = payload[:-1] + ',"sub":"admin"}'
    token = compact(header, payload.encode(), key, algorithm)
    change = draw(st.none() | st.tuples(st.integers(0, 10_000), st.sampled_from(ALPHABET)))
    if change is None:
        return token
    position, character = change
    at = position % len(token)
    replaced, put = draw(st.sampled_from([(1, 1), (1, 0), (0, 1)]))
    return token[:at] + character * put + token[at + replaced :]


@given(
    algorithm=st.sampled_from(list(KEYS)),
    subject=subjects,
    more=st.dictionaries(st.text(), sane_values, max_size=4),
    indent=st.none() | st.integers(0, 3),
)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_valid_tokens_are_accepted_as_by_pyjwt(
    algorithm: str, subject: str, more: dict[str, Any], indent: int | None, issuers: Issuers
) -> None:
    """Additional claims and white space change nothing."""
    claims = {**more, **good_claims(subject)}
    claims.pop("nbf", None)
    claims.pop("jti", None)
    text = json.dumps(claims, indent=indent)
    token = compact({"alg": algorithm}, text.encode(), KEYS[algorithm], algorithm)
    assert_agrees(authenticate(issuers, token), token)


@given(token=tokens())
@example(token="..")
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_pyjwt_accepts_every_accepted_token(token: str, issuers: Issuers) -> None:
    """A changed token is refused, or both read the same claims."""
    try:
        caller = authenticate(issuers, token)
    except Refusal as refusal:
        event(refusal.code)
        assert refusal.code in {
            Code.CREDENTIALS_INVALID,
            Code.CREDENTIALS_EXPIRED,
            Code.USER_ID_INVALID,
        }
        return
    event("accepted")
    assert_agrees(caller, token)


@given(text=st.text(st.characters(), max_size=300) | st.binary(max_size=300).map(str))
@settings(deadline=None, max_examples=200)
def test_any_other_text_is_refused(text: str, issuers: Issuers) -> None:
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, text)
    assert caught.value.code is Code.CREDENTIALS_INVALID
