"""The rows of the ring of the keys that sign access tokens."""

from typing import Final

from tokensvc.sessions.access_tokens.rules import SigningKeyInfo
from tokensvc.sessions.access_tokens.tables import signing_keys
from tokensvc.standing.rules import Ring
from tokensvc.stream.keys.store import RingStore, secrets_of

SIGNING_KEYS: Final = RingStore(Ring.SIGNING, signing_keys, SigningKeyInfo)
"""The ring of the keys that sign access tokens."""

SIGNING_SECRETS: Final = secrets_of(signing_keys)
