"""A sign-in replaces a hash of another system or with old parameters."""

import bcrypt
import pytest
import sqlalchemy as sa

from testing.accounts import PASSWORD
from tests.sign_in.attempts import CAFE, Attempts
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots

OLD_HASH = f"$argon2id$v=19$m=8192,t=1,p=1$salt${PASSWORD}"
"""With old parameters, as the hasher of a test reads it."""


def foreign(password=PASSWORD):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
def real_world(database):
    """Return attempts that hash."""
    world = Attempts(database)
    pool = HashingPool(1, WaitSlots(9))
    world.sign_ins = world.sign_ins_with(PasswordHasher(pool))
    yield world
    pool.close()


@pytest.mark.sec(41)
def test_hash_of_another_system_is_replaced_at_the_sign_in(real_world):
    world = real_world
    world.create(password_hash=foreign())
    with pytest.raises(Refusal):
        world.sign_in(password="wrong")
    assert world.stored_hash().startswith("$2b$04$")
    assert world.sign_in().stored_hash == world.stored_hash()
    assert world.stored_hash().startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    own = world.stored_hash()
    world.sign_in()
    assert world.stored_hash() == own


@pytest.mark.sec(41)
def test_replaced_hash_never_overwrites_a_new_password(world):
    world.create("ben", password_hash=OLD_HASH)

    def change():
        with world.database.write() as tx:
            tx.execute(sa.text("UPDATE accounts SET password_hash = 'new password'"))

    world.hasher.meanwhile = change
    world.sign_in("ben")
    assert world.stored_hash("ben") == "new password"


def test_sign_in_succeeds_although_no_thread_replaces_its_hash(world):
    world.create("ben", password_hash=OLD_HASH)

    def become_busy():
        world.hasher.is_busy = True

    world.hasher.meanwhile = become_busy
    assert world.sign_in("ben").stored_hash == OLD_HASH


def test_busy_threads_take_the_failure_back_when_a_new_password_is_hashed(world):
    attempt = world.sign_ins.check("ada", PASSWORD, CAFE)
    world.hasher.is_busy = True
    with pytest.raises(Refusal) as refused:
        world.sign_ins.hash_new(attempt, "another passphrase")
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert world.failures() == {"unknown": 0}
