"""The rows of the ring of the keys that sign access tokens."""

from tokensvc.database.engine import Database
from tokensvc.sessions.access_tokens.rules import SigningKeyInfo
from tokensvc.sessions.access_tokens.tables import signing_keys
from tokensvc.standing.rules import Ring
from tokensvc.stream.keys.store import RingStore, secrets_of

SIGNING_SECRETS = secrets_of(signing_keys)


class SigningKeyStore(RingStore[SigningKeyInfo]):
    """The ring of the keys that sign access tokens."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, Ring.SIGNING, signing_keys, SigningKeyInfo)
