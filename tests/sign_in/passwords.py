"""Sessions that begin with a password, on a database and at a time that a test sets."""

from functools import partial

import sqlalchemy as sa

from testing.accounts import NEW_PASSWORD, PASSWORD
from testing.sessions import VAULT
from tests.sessions.access_tokens.signing import PERIODS
from tests.sign_in.attempts import CAFE, HASHES, Attempts
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.passwords.rules import check_new_password
from tokensvc.core.errors import Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.tables import revocations as revocations_table
from tokensvc.sessions.access_tokens.rotation import SigningKeyRotation
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.service import Sessions
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.tables import sessions as sessions_table
from tokensvc.sign_in.service import PasswordSessions

URL = "https://tokens.example"


class PasswordWorld(Attempts):
    """A database with the account `ada`, whose password opens sessions."""

    def __init__(
        self,
        database,
        hasher=None,
        sign_in_limit="1000/minute",
        mint_limit="60/minute",
        signing_vault=VAULT,
    ):
        super().__init__(database)
        self.sign_ins = self.sign_ins_with(hasher or self.hasher)
        limits = LimitSettings(sign_in=sign_in_limit, mint=mint_limit)
        self.limiter = Limiter(limits, clock=self.clock)
        settings = SessionSettings()
        self.sessions = Sessions(
            database,
            self.clock,
            VAULT,
            settings,
            hashes=HASHES,
            renew_address=lock_outs.renew_address,
            audits_refreshes=False,
        )
        self.revocations = Revocations(
            database,
            self.clock,
            [],
            is_delivery_on=False,
            wait_slots=WaitSlots(1),
            count_sessions=self.sessions.count_open,
        )
        SigningKeyRotation(database, self.clock, VAULT, PERIODS).step()
        self.passwords = PasswordSessions(
            database=database,
            database_clock=self.clock,
            sign_ins=self.sign_ins,
            sessions=self.sessions,
            access_tokens=AccessTokens(SigningKeys(database, signing_vault), URL, settings),
            revocations=self.revocations,
            limiter=self.limiter,
            check_password=partial(check_new_password, 15, URL),
        )

    def open(self, user_id="ada", password=PASSWORD, address=CAFE, client_id="app"):
        """Sign in, and return the response."""
        return self.passwords.sign_in(user_id, password, client_id=client_id, address=address)

    def outcome(self, user_id="ada", password="wrong", address=CAFE):
        """Return the code of a sign-in, and whether its password was hashed."""
        before = len(self.hasher.verified)
        try:
            self.open(user_id, password, address)
        except Refusal as refusal:
            result = refusal.code.value
        else:
            result = "ok"
        return result, len(self.hasher.verified) > before

    def change(self, current=PASSWORD, new=NEW_PASSWORD, address=CAFE):
        """Change the password of `ada`, and return the response."""
        return self.passwords.change_password("ada", current, new, client_id="app", address=address)

    def rows(self):
        """Return all sessions, oldest first."""
        query = sa.select(sessions_table).order_by(sessions_table.c.created_at)
        with self.database.read() as connection:
            return connection.execute(query).all()

    def live(self, response):
        """Return whether the refresh token of a response still gives access."""
        try:
            self.sessions.refresh(response.refresh_token, "app")
        except Refusal:
            return False
        return True

    def unconfirmed(self):
        """Return the number of revocations that were not confirmed after their commit."""
        rows = revocations_table
        query = sa.select(sa.func.count()).select_from(rows).where(~rows.c.confirmed)
        with self.database.read() as connection:
            return connection.scalar(query)
