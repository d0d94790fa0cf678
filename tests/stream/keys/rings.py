"""Both key rings, whose rows tests write as the actions write them."""

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.sessions.access_tokens.signing import PERIODS
from tests.stream.keys.ring import CONTEXT, OTHER_SECRET, VAULT
from tokensvc.core.waiting import WaitSlots
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.rules import SigningKeyInfo
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys, generate_secret
from tokensvc.sessions.access_tokens.store import SIGNING_KEYS
from tokensvc.sessions.access_tokens.tables import signing_keys
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.rules import StreamKeyInfo
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.keys.store import STREAM_KEYS, StoredKey
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.vault.rules import fingerprint


class AnyRing:
    """
    A ring on a database. Its keys have names: the API key, or the ID of a signing key.

    Attributes:
        database: The database.
        clock: Clock of the actions.
        secrets: Secret of each name.
    """

    def __init__(self, database, clock):
        self.database = database
        self.clock = clock
        self.secrets = {}

    def version(self):
        with self.database.read() as connection:
            return ring_versions.read(connection, self.ring)

    def process(self, vault=VAULT):
        """Return the ring of one more process."""
        return self.keys_type(self.database, vault)

    def current(self, process):
        """Return the keys as a request finds them after its read of the standing."""
        return process.ring_at(self.version())

    def secret_of(self, name):
        return self.secrets.setdefault(name, self.new_secret(name))

    def name_of(self, info):
        return getattr(info, self.name_column.name)

    def add(self, name, state, *, vault=VAULT, now=1):
        """Add a key with a new version as an action does."""
        secret = self.secret_of(name)
        info = self.info(
            name,
            state=KeyState(state),
            fingerprint=fingerprint(secret),
            created_at=now,
            activated_at=now if state == "active" else None,
            retired_at=None,
        )
        with self.database.write() as tx:
            ring_versions.lock(tx)
            self.store.add(tx, StoredKey(info, *vault.encrypt(secret)))

    def change(self, name, **columns):
        """Change a key with a new version as an action does."""
        if columns.get("state") == "retired":
            columns |= {"secret_ciphertext": None, "encrypted_with": None}
        with self.database.write() as tx:
            ring_versions.lock(tx)
            self.set(tx, name, columns)
            ring_versions.change(tx, self.ring)

    def set(self, tx, name, columns):
        tx.execute(self.table.update().where(self.name_column == name).values(columns))


class StreamRing(AnyRing):
    """The ring of Stream keys."""

    ring, table, name_column = Ring.STREAM, stream_keys, stream_keys.c.api_key
    keys_type, store = StreamKeys, STREAM_KEYS
    kind = "stream_key"

    def new_secret(self, name):
        return f"secret-of-{name}-in-the-dashboard-0123456789".encode()

    def info(self, name, **members):
        return StreamKeyInfo(id=f"key_{name}", api_key=name, **members)

    def find(self, ring, name):
        return ring.named(name)

    def secret_in(self, key):
        return key.secret

    def use(self, process, name):
        """Return the key that signs for a request."""
        return self.current(process).named(name)

    def rotation(self, vault=VAULT):
        return StreamKeyRotation(self.database, self.clock, vault, None, wait_slots=WaitSlots(1))

    def make(self, rotation, context=CONTEXT):
        return rotation.add("made", OTHER_SECRET.encode(), context, check=False)


class SigningRing(AnyRing):
    """The ring of the keys of access tokens."""

    ring, table, name_column = Ring.SIGNING, signing_keys, signing_keys.c.id
    keys_type, store = SigningKeys, SIGNING_KEYS
    kind = "signing_key"

    def new_secret(self, name):
        return generate_secret()

    def info(self, name, **members):
        return SigningKeyInfo(id=name, retiring_at=None, **members)

    def find(self, ring, name):
        return ring.keys.get(name)

    def secret_in(self, key):
        return key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def use(self, process, name):
        """Return the key that signs for a request: the active one."""
        return process.signing_key(self.version())

    def rotation(self, vault=VAULT):
        return SigningKeyRotation(self.database, self.clock, vault, PERIODS)

    def make(self, rotation, context=CONTEXT):
        return rotation.rotate(context)
