"""A user id is legal on Stream, and no two people share one."""

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


def mapped(
    subject,
    mapping=Mapping.EXACT,
    prefix="",
    issuer=ISSUER,
    alphabet=Alphabet.DOCUMENTED,
):
    return user_ids.map_subject(
        subject, mapping=mapping, prefix=prefix, issuer=issuer, alphabet=alphabet
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
def test_an_illegal_id_is_refused(user_id):
    """What Stream does not document is refused, and the refusal states the rule."""
    with pytest.raises(Refusal) as refused:
        user_ids.check(user_id, Alphabet.DOCUMENTED)
    assert refused.value.code is Code.USER_ID_INVALID
    assert "a-z 0-9 @ _ -" in refused.value.detail


@pytest.mark.sec(23)
@given(legal_ids)
@example("a" * 255)
@example("@_-")
def test_a_legal_id_passes_unchanged(user_id):
    """Every id of 1 to 255 documented characters is legal, under both alphabets."""
    assert user_ids.check(user_id, Alphabet.DOCUMENTED) == user_id
    assert user_ids.check(user_id, Alphabet.EXTENDED) == user_id


@pytest.mark.sec(23)
@given(st.text(max_size=300))
def test_the_alphabets_differ_in_capitals_alone(text):
    """The extended alphabet admits exactly those ids that are legal once in lower case ASCII."""
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
def test_a_subject_that_is_no_text_has_no_id(subject, mapping):
    """No mapping gives an id to a claim that is not a non-empty Unicode text."""
    with pytest.raises(Refusal) as refused:
        mapped(subject, mapping)
    assert refused.value.code is Code.USER_ID_INVALID


@pytest.mark.sec(13)
@given(legal_ids)
def test_exact_is_the_identity(subject):
    """`exact` gives a legal subject as it is, behind the prefix."""
    assert mapped(subject) == subject
    assume(len(subject) <= 250)
    assert mapped(subject, prefix="acme-") == "acme-" + subject


@pytest.mark.sec(13, 23)
@given(subjects)
@example("auth0|5f7c8ec7c33c6c004bbafe82")
def test_exact_never_changes_a_subject(subject):
    """`exact` refuses what is not legal and names the id that `escape` would give."""
    assume(not user_ids.is_legal(subject, Alphabet.DOCUMENTED))
    with pytest.raises(Refusal) as refused:
        mapped(subject, prefix="a-")
    assert repr("a-" + user_ids.escape(subject)) in refused.value.detail


def test_the_prefix_counts_towards_the_length():
    """An id is 255 characters at most with its prefix."""
    assert mapped("a" * 250, prefix="acme-")
    with pytest.raises(Refusal):
        mapped("a" * 251, prefix="acme-")


@pytest.mark.sec(13)
@given(subjects, subjects)
@example("_7c", "|")
@example("a_", "a_5f")
@example("\u00e9", "e\u0301")
@example("John", "john")
def test_escape_gives_two_subjects_two_ids(one, other):
    """`escape` is injective: different subjects, normalisation forms of one included."""
    assert (user_ids.escape(one) == user_ids.escape(other)) == (one == other)


@pytest.mark.sec(13)
@given(subjects)
def test_escape_can_be_undone(subject):
    """`unescape` gives back what `escape` was given."""
    assert user_ids.unescape(user_ids.escape(subject)) == subject


@pytest.mark.sec(23)
@given(subjects)
def test_escape_gives_a_legal_id(subject):
    """The escaped subject is a legal id unless it is too long, which is refused."""
    escaped = user_ids.escape(subject)
    if len(escaped) <= user_ids.MAX_LENGTH:
        assert mapped(subject, Mapping.ESCAPE) == user_ids.check(escaped, Alphabet.DOCUMENTED)
    else:
        with pytest.raises(Refusal, match="hash mapping"):
            mapped(subject, Mapping.ESCAPE)


@given(subjects)
def test_escape_is_idempotent_only_where_it_changes_nothing(subject):
    """Escaping twice escapes again: were `_` kept, `_7c` and `|` would share an id."""
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
    """Each byte of the UTF-8 text outside `a-z 0-9 @ -` is `_` and two lower-case digits."""
    assert mapped(subject, Mapping.ESCAPE, prefix="p_") == "p_" + user_id


@pytest.mark.parametrize(
    "text",
    ["", "john_", "john_4", "_4Aohn", "_7C", "John", "a_zz", "_ff", "_c3", "_61", "_ed_a0_80"],
)
def test_unescape_refuses_what_escape_never_gives(text):
    """Text that no subject escapes to is refused, not guessed at."""
    with pytest.raises(ValueError):
        user_ids.unescape(text)


@pytest.mark.sec(13, 23)
@given(subjects)
def test_hash_gives_a_legal_id_and_the_same_one_each_time(subject):
    """`hash` is deterministic, legal and of one length, whatever the subject."""
    user_id = mapped(subject, Mapping.HASH, prefix="acme-")
    assert user_id == mapped(subject, Mapping.HASH, prefix="acme-")
    assert user_ids.is_legal(user_id, Alphabet.DOCUMENTED)
    assert len(user_id) == len("acme-") + 52


@pytest.mark.sec(13)
@given(subjects, subjects)
def test_hash_tells_subjects_and_issuers_apart(one, other):
    """Another subject, or the same subject of another issuer, hashes to another id."""
    assert (mapped(one, Mapping.HASH) == mapped(other, Mapping.HASH)) == (one == other)
    assert mapped(one, Mapping.HASH) != mapped(one, Mapping.HASH, issuer=ISSUER + "/")


@pytest.mark.sec(13)
def test_hash_keeps_issuer_and_subject_apart():
    """The NUL between issuer and subject keeps `ab`+`c` from hashing like `a`+`bc`."""
    assert mapped("bc", Mapping.HASH, issuer="a") != mapped("c", Mapping.HASH, issuer="ab")
    digest = hashlib.sha256(b"a\x00bc").hexdigest()
    assert _base32_as_hex(mapped("bc", Mapping.HASH, issuer="a")) == digest


def _base32_as_hex(text):
    """Decode lower-case base32 of 256 bits by arithmetic, as a second opinion."""
    number = 0
    for letter in text:
        number = number * 32 + (string.ascii_lowercase + "234567").index(letter)
    return f"{number >> (len(text) * 5 - 256):064x}"
