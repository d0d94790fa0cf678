"""A user ID is legal on Stream, and no two people share one."""

import hashlib
import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tokensvc.core import user_ids
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet, Mapping

DOCUMENTED = string.ascii_lowercase + string.digits + "@_-"
ISSUER = "https://id.acme.example"

legal_ids = st.text(alphabet=DOCUMENTED, min_size=1, max_size=255)
subjects = st.text(
    alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64
) | st.text(alphabet="aA_|0.%~", min_size=1, max_size=8)


def mapped(subject, mapping=Mapping.EXACT, prefix="", issuer=ISSUER):
    return user_ids.map_subject(
        subject, mapping=mapping, prefix=prefix, issuer=issuer, alphabet=Alphabet.DOCUMENTED
    )


@pytest.mark.sec(23)
@pytest.mark.parametrize(
    "user_id",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 256, id="256 characters"),
        pytest.param("john\n", id="trailing newline"),
        pytest.param("john ", id="trailing space"),
        pytest.param("jo\x00hn", id="NUL"),
        pytest.param("jo\x1bhn", id="control character"),
        pytest.param("jоhn", id="Cyrillic homoglyph"),  # noqa: RUF001 - the homoglyph is the case
        pytest.param("jöhn", id="composed accent"),
        pytest.param("jo\u0308hn", id="combining accent"),
        pytest.param("john٣", id="Arabic digit"),
        pytest.param("auth0|john", id="bar of Auth0"),
        pytest.param("john@acme.example", id="dot of an e-mail address"),
        pytest.param("svc.client", id="service client"),
        pytest.param("!members", id="Stream's own prefix"),
        pytest.param("jo:hn", id="colon"),
        pytest.param("../john", id="path"),
        pytest.param('john","server":true,"x":"', id="JSON injection"),
        pytest.param("John", id="capital under the documented alphabet"),
    ],
)
def test_illegal_id_is_refused(user_id):
    """The refusal states the rule."""
    with pytest.raises(Refusal) as refused:
        user_ids.check(user_id, Alphabet.DOCUMENTED)
    assert refused.value.code is Code.USER_ID_INVALID
    assert "a-z 0-9 @ _ -" in refused.value.detail


@pytest.mark.parametrize(
    ("user_id", "alphabet", "told"),
    [
        ("Ann.Lee", Alphabet.DOCUMENTED, "Character 1 is 'A'."),
        ("Ann.Lee", Alphabet.EXTENDED, "Character 4 is '.'."),
        (
            "JohnDoe",
            Alphabet.DOCUMENTED,
            "Character 1 is 'J'. 'johndoe' is legal, if it is not another user.",
        ),
        (
            "John\n",
            Alphabet.EXTENDED,
            r"Character 5 is '\n'. 'John' is legal, if it is not another user.",
        ),
        ("j\u043ehn", Alphabet.DOCUMENTED, r"Character 2 is '\u043e'."),
        ("", Alphabet.DOCUMENTED, "This one has 0 characters."),
        ("a" * 256, Alphabet.DOCUMENTED, "This one has 256 characters."),
    ],
)
def test_refusal_names_the_character_and_the_legal_spelling(user_id, alphabet, told):
    with pytest.raises(Refusal) as refused:
        user_ids.check(user_id, alphabet)
    assert refused.value.detail == f"A user ID is {alphabet.rule}. {told}"


@pytest.mark.sec(23)
@given(legal_ids)
@example("a" * 255)
@example("@_-")
def test_legal_id_is_returned_unchanged(user_id):
    assert user_ids.check(user_id, Alphabet.DOCUMENTED) == user_id
    assert user_ids.check(user_id, Alphabet.EXTENDED) == user_id


@pytest.mark.sec(23)
@given(st.text(max_size=300))
def test_alphabets_differ_only_in_capitals(text):
    lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    assert user_ids.is_legal(text, Alphabet.EXTENDED) == user_ids.is_legal(
        lowered, Alphabet.DOCUMENTED
    )


@pytest.mark.sec(13, 23)
@pytest.mark.parametrize("mapping", Mapping)
@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(None, id="null"),
        pytest.param("", id="empty text"),
        pytest.param(7, id="number"),
        pytest.param(True, id="boolean"),
        pytest.param(["john"], id="array"),
        pytest.param({"id": "john"}, id="object"),
        pytest.param("jo\ud800hn", id="lone surrogate"),
    ],
)
def test_subject_that_is_not_a_string_is_refused(subject, mapping):
    """By each mapping; an empty string and lone surrogates too."""
    with pytest.raises(Refusal) as refused:
        mapped(subject, mapping)
    assert refused.value.code is Code.USER_ID_INVALID


@pytest.mark.sec(13)
@given(legal_ids)
def test_exact_keeps_a_legal_subject(subject):
    assert mapped(subject) == subject
    assume(len(subject) <= 250)
    assert mapped(subject, prefix="acme-") == "acme-" + subject


@pytest.mark.sec(13, 23)
@given(subjects)
@example("auth0|5f7c8ec7c33c6c004bbafe82")
def test_exact_refuses_an_illegal_subject(subject):
    """The refusal shows the ID that `escape` would produce."""
    assume(not user_ids.is_legal(subject, Alphabet.DOCUMENTED))
    with pytest.raises(Refusal) as refused:
        mapped(subject, prefix="a-")
    assert repr("a-" + user_ids.escape(subject)) in refused.value.detail


def test_prefix_counts_towards_the_maximum_length():
    assert mapped("a" * 250, prefix="acme-")
    with pytest.raises(Refusal):
        mapped("a" * 251, prefix="acme-")


@pytest.mark.sec(13)
@given(subjects, subjects)
@example("_7c", "|")
@example("a_", "a_5f")
@example("\u00e9", "e\u0301")
@example("John", "john")
def test_escape_is_injective(one, other):
    """Also for two normalisation forms of one text."""
    assert (user_ids.escape(one) == user_ids.escape(other)) == (one == other)


@pytest.mark.sec(13)
@given(subjects)
def test_unescape_reverses_escape(subject):
    assert user_ids.unescape(user_ids.escape(subject)) == subject


@pytest.mark.sec(23)
@given(subjects)
def test_escape_produces_a_legal_id(subject):
    """Unless it is too long, which is refused."""
    escaped = user_ids.escape(subject)
    if len(escaped) <= user_ids.MAX_LENGTH:
        assert mapped(subject, Mapping.ESCAPE) == user_ids.check(escaped, Alphabet.DOCUMENTED)
    else:
        with pytest.raises(Refusal, match="hash mapping"):
            mapped(subject, Mapping.ESCAPE)


@given(subjects)
def test_escape_escapes_its_own_output(subject):
    """If `_` were kept, `_7c` and `|` would share an ID."""
    escaped = user_ids.escape(subject)
    assert (user_ids.escape(escaped) == escaped) == (escaped == subject)


@pytest.mark.parametrize(
    ("subject", "user_id"),
    [
        ("john", "john"),
        ("John", "_4aohn"),
        ("auth0|5f7c", "auth0_7c5f7c"),
        ("a_b", "a_5fb"),
        ("john@acme.example", "john@acme_2eexample"),
        ("é", "_c3_a9"),
        ("\x00", "_00"),
    ],
)
def test_escape_writes_bytes_as_hex(subject, user_id):
    assert mapped(subject, Mapping.ESCAPE, prefix="p_") == "p_" + user_id


@pytest.mark.parametrize(
    "text",
    ["", "john_", "john_4", "_4Aohn", "_7C", "John", "a_zz", "_ff", "_c3", "_61", "_ed_a0_80"],
)
def test_unescape_refuses_text_that_escape_cannot_produce(text):
    with pytest.raises(ValueError):
        user_ids.unescape(text)


@pytest.mark.sec(13, 23)
@given(subjects)
def test_hash_is_deterministic_and_legal(subject):
    user_id = mapped(subject, Mapping.HASH, prefix="acme-")
    assert user_id == mapped(subject, Mapping.HASH, prefix="acme-")
    assert user_ids.is_legal(user_id, Alphabet.DOCUMENTED)
    assert len(user_id) == len("acme-") + 52


@pytest.mark.sec(13)
@given(subjects, subjects)
def test_hash_differs_by_subject_and_issuer(one, other):
    assert (mapped(one, Mapping.HASH) == mapped(other, Mapping.HASH)) == (one == other)
    assert mapped(one, Mapping.HASH) != mapped(one, Mapping.HASH, issuer=ISSUER + "/")


@pytest.mark.sec(13)
def test_hash_separates_issuer_and_subject():
    """The NUL between them: `ab`+`c` and `a`+`bc` differ."""
    assert mapped("bc", Mapping.HASH, issuer="a") != mapped("c", Mapping.HASH, issuer="ab")
    digest = hashlib.sha256(b"a\x00bc").hexdigest()
    assert _base32_as_hex(mapped("bc", Mapping.HASH, issuer="a")) == digest


def _base32_as_hex(text):
    """Decode lower-case base32 of 256 bits by arithmetic, independently of the library."""
    number = 0
    for letter in text:
        number = number * 32 + (string.ascii_lowercase + "234567").index(letter)
    return f"{number >> (len(text) * 5 - 256):064x}"
