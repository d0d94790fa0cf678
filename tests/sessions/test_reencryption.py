"""`keys reencrypt` covers the keys of sessions, whose tokens stay the same."""

from testing.sessions import ENCRYPTION_KEY, VAULT, sessions_on
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.sessions.store import FAMILY_KEYS
from tokensvc.stream.keys.store import STREAM_SECRETS
from tokensvc.vault import reencryption
from tokensvc.vault.reencryption import Progress, Reencryption
from tokensvc.vault.vault import Vault

NEW_KEY = Vault.generate_key()
CONTEXT = ActionContext("cli:ops")


def test_sessions_continue_under_the_new_encryption_key(world, monkeypatch):
    monkeypatch.setattr(reencryption, "_BATCH", 2)
    grants = [world.sign_in() for _ in range(3)]
    reencrypting = Reencryption(
        world.database,
        DatabaseClock(world.database, world.clock),
        Vault([NEW_KEY, ENCRYPTION_KEY]),
        [STREAM_SECRETS, FAMILY_KEYS],
    )
    assert reencrypting.remaining() == {VAULT.first_fingerprint: 3}
    assert list(reencrypting.run(CONTEXT)) == [Progress(2, 2, 0), Progress(3, 3, 0)]
    assert reencrypting.remaining() == {}
    alone = sessions_on(world.database, world.clock, vault=Vault([NEW_KEY]))
    for grant in grants:
        assert alone.refresh(grant.refresh_token, "app").family.counter == 1
    assert ("cli:ops", "secrets:reencrypted", "sessions", "ok") in {
        event[:4] for event in world.events()
    }
