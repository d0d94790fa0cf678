"""The store of key sets, on both databases."""

from tokensvc.database.engine import Database
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

ISSUER = "https://id.acme.example"
FIRST = StoredKeys("https://id.acme.example/jwks", '{"keys": ["\\u0000", "ü"]}', 1_800_000_000)


def test_stored_set_is_loaded(database: Database) -> None:
    store = IssuerKeyStore(database)
    assert store.load(ISSUER) is None
    store.save(ISSUER, FIRST)
    assert store.load(ISSUER) == FIRST
    assert store.load(f"{ISSUER}/") is None


def test_later_set_replaces_an_earlier_one(database: Database) -> None:
    store = IssuerKeyStore(database)
    later = StoredKeys(FIRST.source, "{}", FIRST.fetched_at + 1)
    store.save(ISSUER, FIRST)
    store.save(ISSUER, later)
    assert store.load(ISSUER) == later


def test_earlier_set_does_not_replace_a_later_one(database: Database) -> None:
    """A slow worker cannot restore a withdrawn key."""
    store = IssuerKeyStore(database)
    store.save(ISSUER, FIRST)
    store.save(ISSUER, StoredKeys(FIRST.source, "old", FIRST.fetched_at - 1))
    assert store.load(ISSUER) == FIRST
