"""A running service with built-in accounts whose passwords a test knows."""

import re

from testing.account_world import AccountWorld
from testing.accounts import PASSWORD
from testing.world import METRICS_TOKEN
from tokensvc.accounts import store
from tokensvc.accounts.passwords.hashing import _hash
from tokensvc.accounts.store import Account

STORED = _hash(PASSWORD.encode())
METRICS = {"Authorization": f"Bearer {METRICS_TOKEN}"}


class PasswordServiceWorld(AccountWorld):
    """A service with built-in accounts that have a password."""

    def create(self, user_id):
        with self.database.write() as tx:
            assert store.insert(tx, Account(user_id, STORED, 0))

    def sign_in(self, user_id, password=PASSWORD, **options):
        body = {"user_id": user_id, "password": password}
        return self.anonymous.post("/v1/sessions", json=body, **options)

    def user(self, user_id):
        """Return a user who signs in now."""
        return self.with_token(self.sign_in(user_id).json["access_token"])

    def metric(self, result):
        text = self.anonymous.get("/metrics", headers=METRICS).text
        found = re.search(rf'tokensvc_sign_ins_total{{result="{result}"}} (\d+)', text)
        return float(found[1]) if found else 0

    def events(self, subject, action="account:signed_in"):
        """Return the events of a user, newest first."""
        query = {"subject": subject, "action": action}
        return self.operator.get("/v1/audit", query=query).json["items"]
