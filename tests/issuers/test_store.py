"""The store of key sets, on both databases."""

import pytest

from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

ISSUER = "https://id.acme.example"
FIRST = StoredKeys("https://id.acme.example/jwks", '{"keys": ["\\u0000", "ü"]}', 1_800_000_000)


def test_what_was_saved_is_loaded(database: Database) -> None:
    """Text and time come back as they were; an issuer without a row has none."""
    store = IssuerKeyStore(database)
    assert store.load(ISSUER) is None
    store.save(ISSUER, FIRST)
    assert store.load(ISSUER) == FIRST
    assert store.load(f"{ISSUER}/") is None


def test_a_later_set_replaces_an_earlier_one(database: Database) -> None:
    """One row an issuer."""
    store = IssuerKeyStore(database)
    later = StoredKeys(FIRST.source, "{}", FIRST.fetched_at + 1)
    store.save(ISSUER, FIRST)
    store.save(ISSUER, later)
    assert store.load(ISSUER) == later


def test_an_earlier_set_does_not_replace_a_later_one(database: Database) -> None:
    """A worker that was slow cannot bring a withdrawn key back."""
    store = IssuerKeyStore(database)
    store.save(ISSUER, FIRST)
    store.save(ISSUER, StoredKeys(FIRST.source, "old", FIRST.fetched_at - 1))
    assert store.load(ISSUER) == FIRST


def test_a_database_that_is_gone_refuses() -> None:
    """The failure is the database's own refusal, for the cache to pass over."""
    store = IssuerKeyStore(Database.open("postgresql://nobody@127.0.0.1:1/none", pool_size=1))
    with pytest.raises(Refusal) as caught:
        store.load(ISSUER)
    assert caught.value.code is Code.TEMPORARILY_UNAVAILABLE
