"""The vault encrypts with its first key, decrypts with each, and refuses all else."""

import base64

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core.errors import StartupError
from tokensvc.vault.rules import fingerprint
from tokensvc.vault.vault import Vault, VaultError

SECRETS = st.binary(min_size=0, max_size=100)
OLD, NEW, OTHER = (Vault.generate_key() for _ in range(3))


@given(SECRETS, SECRETS)
def test_fingerprints_differ_for_different_secrets(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert len(fingerprint(one)) == 16
    assert set(fingerprint(one)) <= set("0123456789abcdef")


def test_fingerprint_is_stable_across_releases():
    """A change would make every stored pair an unknown one."""
    assert fingerprint(b"a secret of thirty-two bytes....") == "15d1cd4e7d091dba"


@pytest.mark.sec(25)
def test_repr_contains_no_key():
    vault = Vault([OLD])
    for shown in (vault, vars(vault)):
        assert OLD not in repr(shown)


@given(SECRETS)
def test_vault_decrypts_what_it_encrypted(secret):
    vault = Vault([OLD])
    ciphertext, encrypted_with = vault.encrypt(secret)
    assert vault.decrypt(ciphertext) == secret
    assert vault.fingerprints == {encrypted_with}
    assert vault.encrypt(secret)[0] != ciphertext


def test_first_key_wraps_and_all_unwrap():
    before, between, after = Vault([OLD]), Vault([OLD, NEW]), Vault([NEW, OLD])
    ciphertext, encrypted_with = before.encrypt(b"secret")
    assert between.decrypt(ciphertext) == after.decrypt(ciphertext) == b"secret"
    assert between.encrypt(b"secret")[1] == encrypted_with
    assert after.encrypt(b"secret")[1] != encrypted_with
    assert between.fingerprints == after.fingerprints > before.fingerprints
    assert Vault([NEW]).decrypt(after.encrypt(b"secret")[0]) == b"secret"


def test_fingerprint_of_an_encryption_key_depends_on_its_bytes():
    """Base64 can write one key in several ways."""
    raw = base64.urlsafe_b64decode(OLD)
    assert Vault([OLD]).fingerprints == {fingerprint(raw)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text[:20] + ("A" if text[20] != "A" else "B") + text[21:],
        lambda text: "",
        lambda text: "no ciphertext",
        lambda text: Vault([OTHER]).encrypt(b"secret")[0],
        lambda text: Fernet(OTHER).encrypt(b"secret").decode(),
    ],
)
def test_changed_ciphertext_is_refused(damage):
    vault = Vault([OLD, NEW])
    with pytest.raises(VaultError):
        vault.decrypt(damage(vault.encrypt(b"secret")[0]))


@pytest.mark.parametrize(
    "keys, complaint",
    [
        ([], "at least one"),
        ([""], "number 1 is not a Fernet key"),
        (["too-short"], "number 1 is not a Fernet key"),
        ([OLD, OLD[:-4]], "number 2 is not a Fernet key"),
        ([OLD, NEW, "ключ"], "number 3 is not a Fernet key"),
        ([OLD + "AAAA"], "number 1 is not a Fernet key"),
        (["!" + OLD], "number 1 is not a Fernet key"),
        (["$" + OLD], "number 1 is not a Fernet key"),
    ],
)
@pytest.mark.sec(25)
def test_invalid_encryption_key_is_a_startup_error(keys, complaint):
    """The text has its position, and not the key."""
    with pytest.raises(StartupError, match=f"^encryption_keys: {complaint}") as raised:
        Vault(keys)
    assert not any(text and text in str(raised.value) for text in keys)
