"""Hashes of other systems: verified as the other system would, and bounded in their cost."""

import hashlib
import re
import string
from base64 import b64encode

import bcrypt
import pytest
from argon2.low_level import Type, hash_secret
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensvc.accounts.passwords.foreign_hashes import check_hash, verify_hash

PASSWORD = "correct horse battery staple"


def argon2(password, *, kind=Type.ID, memory=64, passes=2, lanes=2, version=19):
    return hash_secret(
        password.encode(), b"saltsaltsaltsalt", passes, memory, lanes, 32, kind, version
    ).decode()


def base64(raw):
    return b64encode(raw).rstrip(b"=").decode()


def scrypt(password, *, ln=4, r=8, p=1, salt=b"saltsalt"):
    digest = hashlib.scrypt(password.encode(), salt=salt, n=1 << ln, r=r, p=p, dklen=32)
    return f"$scrypt$ln={ln},r={r},p={p}${base64(salt)}${base64(digest)}"


def bcrypt_hash(password, marker="2b"):
    made = bcrypt.hashpw(password.encode()[:72], b"$2b$04$saltsaltsaltsaltsaltsu").decode()
    return made.replace("$2b$", f"${marker}$")


# From the documentation of passlib and PHP, and the tests of argon2 and crypt_blowfish.
WRITTEN_BY_OTHERS = [
    ("password", "$argon2i$v=19$m=512,t=2,p=2$aI2R0hpDyLm3ltLa+1/rvQ$LqPKjd6n8yniKtAithoR7A"),
    ("password", "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY"),
    (
        "password",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ),
    (
        "test",
        "$scrypt$ln=8,r=8,p=1$wlhLyXmP8b53bm1NKYVQqg$mTpvG8lzuuDk+DWz8HZIB6Vum6erDuUm0As5yU+VxWA",
    ),
    ("rasmuslerdorf", "$2y$07$usesomesillystringfore2uDLvp1Ii2e./U9C8sBjqp8I90dH6hi"),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
]


@pytest.mark.parametrize(("password", "stored"), WRITTEN_BY_OTHERS)
def test_hash_of_another_program_is_verified(password, stored):
    check_hash(stored)
    assert verify_hash(stored, password)
    assert not verify_hash(stored, password + "x")
    assert not verify_hash(stored, "")


MADE = [
    *(argon2(PASSWORD, kind=kind) for kind in Type),
    argon2(PASSWORD, version=16),
    scrypt(PASSWORD),
    *(bcrypt_hash(PASSWORD, marker) for marker in ("2a", "2b", "2y")),
]


@pytest.mark.parametrize("stored", MADE)
def test_each_supported_kind_is_verified(stored):
    check_hash(stored)
    assert verify_hash(stored, PASSWORD)
    assert not verify_hash(stored, PASSWORD[:-1])


@pytest.mark.parametrize("make", [argon2, scrypt, bcrypt_hash])
def test_password_that_was_not_normalized_is_verified(make):
    """Most systems hash what the user typed."""
    decomposed = "Cafe\u0301 au lait, s\u2019il vous plai\u0302t"
    assert verify_hash(make(decomposed), decomposed)


def test_other_form_of_the_password_is_verified_against_a_normalized_hash():
    assert verify_hash(argon2("Café au lait"), "Cafe\u0301 au lait")


def test_bcrypt_ignores_what_the_other_system_ignored():
    """Bcrypt uses 72 bytes, so a longer password is valid with any other end."""
    stored = bcrypt_hash("x" * 80)
    assert verify_hash(stored, "x" * 80)
    assert verify_hash(stored, "x" * 72)
    assert not verify_hash(stored, "x" * 71)
    digits_and_letters = string.digits + string.ascii_lowercase + string.ascii_uppercase
    written = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"
    assert verify_hash(written, digits_and_letters + string.digits + "chars after 72 are ignored")


@pytest.mark.parametrize("stored", MADE)
@pytest.mark.parametrize("password", ["", "\x00", "\ud800", "\x00" + PASSWORD, "x" * 5000])
def test_any_password_is_compared_without_error(stored, password):
    assert not verify_hash(stored, password)


REFUSED = [
    ("", "must begin with"),
    ("correct horse battery staple", "must begin with"),
    ("pbkdf2_sha256$1000000$salt$hash", "must begin with"),
    ("argon2" + argon2("x"), "must begin with"),
    ("$2$04$" + "a" * 53, "write $2b$"),
    (argon2("x") + "\n", "write $argon2id$"),
    (argon2("x") + "=", "write $argon2id$"),
    (argon2("x").replace("m=64", "m=064"), "write $argon2id$"),
    (argon2("x").replace("t=2", "t=2,keyid=AA"), "write $argon2id$"),
    (argon2("x").replace("v=19", "v=18"), "version 18"),
    (argon2("x").replace("t=2", "t=0"), "at least 1"),
    (argon2("x").replace("m=64", "m=8"), "8 times p"),
    (argon2("x").replace("m=64", "m=262145"), "262145 KiB of memory"),
    (argon2("x").replace("m=64,t=2", "m=262144,t=5"), "262144 KiB times 5"),
    (argon2("x").replace("t=2", "t=9999999999"), "64 KiB times 9999999999"),
    (argon2("x").replace("m=64", "m=4096").replace("p=2", "p=17"), "p=17"),
    (argon2("x").replace("$c2", "$d"), "the salt is not base64"),
    (argon2("x")[:-1] + "B", "the hash is not base64"),
    (argon2("x")[:-31], "the hash must have 16 to 64 bytes"),
    (scrypt("x").replace("ln=4", "ln=19"), "524288 KiB of memory"),
    (scrypt("x").replace("ln=4", "ln=16384"), "r more than"),
    (scrypt("x").replace("ln=4", "ln=18").replace("p=1", "p=5"), "262144 KiB times 5"),
    (scrypt("x").replace("r=8", "r=9999999999"), "KiB of memory"),
    (scrypt("x").replace("ln=4", "ln=0"), "at least 1"),
    (scrypt("x").replace("ln=4,r=8", "ln=16,r=1"), "r more than"),
    (scrypt("x", salt=b"salt"), "the salt must have 8 to 64 bytes, not 4"),
    ("$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D", "must begin with"),
    (bcrypt_hash("x", "2x"), "faulty"),
    (bcrypt_hash("x").replace("$04$", "$03$"), "must be 4 to 14, not 3"),
    (bcrypt_hash("x").replace("$04$", "$15$"), "must be 4 to 14, not 15"),
    (bcrypt_hash("x")[:-1], "53 characters"),
    (bcrypt_hash("x")[:28] + "/" + bcrypt_hash("x")[29:], "last bits"),
    (bcrypt_hash("x")[:-1] + "/", "last bits"),
    (argon2("x") + "A" * 500, "at most 512"),
    ("$argon2id$v=\u0661\u0669" + argon2("x")[14:], "write $argon2id$"),
]


@pytest.mark.sec(41)
@pytest.mark.parametrize(("stored", "reason"), REFUSED)
def test_other_hash_is_refused_with_the_reason(stored, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as refused:
        check_hash(stored)
    assert not stored or stored not in str(refused.value)


SALTS_AND_DIGESTS = st.builds(
    lambda salt, digest: f"${base64(salt)}${base64(digest)}",
    st.binary(min_size=6, max_size=66),
    st.binary(min_size=14, max_size=66),
)


@settings(max_examples=300)
@given(
    st.sampled_from(["$argon2id", "$argon2i$v=16", "$argon2d$v=19", "$argon2id$v=20"]),
    st.integers(0, 300),
    st.integers(0, 4),
    st.integers(0, 20),
    SALTS_AND_DIGESTS,
)
def test_argon2_hash_that_passes_the_check_can_be_verified(start, m, t, p, end):
    """An import must not accept a hash with which no user can sign in."""
    assert_not_verified(f"{start}$m={m},t={t},p={p}{end}")


@given(st.integers(0, 8), st.integers(0, 20), st.integers(0, 20), SALTS_AND_DIGESTS)
def test_scrypt_hash_that_passes_the_check_can_be_verified(ln, r, p, end):
    assert_not_verified(f"$scrypt$ln={ln},r={r},p={p}{end}")


@given(st.from_regex(r"\$2[abxy]\$0[0-5]\$[./A-Za-z0-9]{53}", fullmatch=True))
def test_bcrypt_hash_that_passes_the_check_can_be_verified(stored):
    assert_not_verified(stored)


def assert_not_verified(stored):
    """Check that a supported hash is compared without error; no password has a random one."""
    try:
        check_hash(stored)
    except ValueError:
        return
    assert not verify_hash(stored, PASSWORD)


@given(st.text())
def test_any_text_gets_a_reason(text):
    with pytest.raises(ValueError, match=r"."):
        check_hash(text)
