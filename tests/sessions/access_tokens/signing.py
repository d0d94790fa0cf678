"""The ring of signing keys for tests."""

from testing.manual_clock import ManualClock
from tests.stream.keys.ring import VAULT
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.rules import MARGIN_SECONDS, SigningPeriods
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring

PERIODS = SigningPeriods(rotation=90 * 86400, publication=300, verification=600)
UNTIL_ACTIVE = PERIODS.publication + MARGIN_SECONDS
UNTIL_RETIRED = PERIODS.verification + MARGIN_SECONDS


class SigningWorld:
    """
    A database with the rotation of one process.

    Attributes:
        keys: Ring of that process.
    """

    def __init__(self, database, vault=VAULT):
        self.database = database
        self.clock = ManualClock()
        self.rotation = self.rotation_of(vault)
        self.keys = SigningKeys(database, vault)

    def rotation_of(self, vault=VAULT, database=None):
        """Return the rotation of another process."""
        return SigningKeyRotation(database or self.database, self.clock, vault, PERIODS)

    def pass_time(self, seconds):
        """Let time pass, then run the background step."""
        self.clock.now += seconds
        self.rotation.step()

    def version(self):
        with self.database.read() as connection:
            return ring_versions.read(connection, Ring.SIGNING)

    def listed(self):
        """Return all keys, oldest first."""
        return self.rotation.page(after=None, limit=100)[::-1]

    def states(self):
        return [key.state for key in self.listed()]

    def published(self):
        return [key.kid for key in self.keys.public_keys().keys]

    def signs_with(self):
        return self.keys.signing_key(self.version()).kid
