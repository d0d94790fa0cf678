"""The ring of signing keys on both databases: rotation, what is published, and what signs."""

import json
from base64 import urlsafe_b64decode

import pytest
import sqlalchemy as sa
from jwt import PyJWKSet

from tests.sessions.access_tokens.signing import (
    PERIODS,
    UNTIL_ACTIVE,
    UNTIL_RETIRED,
    SigningWorld,
)
from tests.stream.keys.ring import CONTEXT, DRY_RUN, VAULT, events
from tokensvc.core.errors import Code, Refusal
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.vault.vault import Vault

OTHER_VAULT = Vault([Vault.generate_key()])


@pytest.fixture
def world(database):
    world = SigningWorld(database)
    world.rotation.step()
    return world


def actions(world):
    return [(actor, action) for actor, action, *_ in events(world.database)]


def test_first_step_makes_an_active_key_and_the_next_nothing(world):
    before = world.version(), actions(world)
    (first,) = world.listed()
    assert (first.state, first.activated_at) == ("active", first.created_at)
    assert world.signs_with() == first.id
    world.rotation.step()
    assert (world.version(), actions(world)) == before
    assert actions(world) == [("service:rotation", "signing_key:added")]


def test_key_is_published_before_it_signs_and_after(world):
    """Standby, active, retiring, retired; each step is audited and seen by another process."""
    (first,) = world.listed()
    second = world.rotation.rotate(CONTEXT)
    assert (second.state, second.activated_at) == ("standby", None)
    assert world.published() == [second.id, first.id]
    world.pass_time(UNTIL_ACTIVE - 1)
    assert world.signs_with() == first.id
    world.pass_time(1)
    assert world.signs_with() == second.id
    assert world.published() == [second.id, first.id]
    assert world.states() == ["retiring", "active"]
    world.pass_time(UNTIL_RETIRED - 1)
    assert world.published() == [second.id, first.id]
    world.pass_time(1)
    assert world.published() == [second.id]
    assert world.states() == ["retired", "active"]
    assert actions(world) == [
        ("service:rotation", "signing_key:added"),
        ("svc.ops", "signing_key:added"),
        ("service:rotation", "signing_key:retiring"),
        ("service:rotation", "signing_key:activated"),
        ("service:rotation", "signing_key:retired"),
    ]
    retired = world.listed()[0]
    assert (retired.id, retired.retired_at - retired.retiring_at) == (first.id, UNTIL_RETIRED)


def test_rotation_is_started_when_the_active_key_is_old(world):
    world.pass_time(PERIODS.rotation - 1)
    assert world.states() == ["active"]
    world.pass_time(1)
    world.pass_time(UNTIL_ACTIVE)
    assert world.states() == ["retiring", "active"]


@pytest.mark.sec(37)
def test_repeated_rotation_returns_the_standby_key(world):
    made = world.rotation.rotate(CONTEXT)
    before = world.version(), actions(world)
    assert world.rotation.rotate(CONTEXT) == made
    assert (world.version(), actions(world)) == before


@pytest.mark.sec(37)
def test_dry_run_of_a_replacement_changes_nothing(world):
    standby = world.rotation.rotate(CONTEXT)
    world.pass_time(UNTIL_ACTIVE)
    before = world.version(), actions(world), world.listed()
    would = world.rotation.replace_unreadable(DRY_RUN)
    assert (would.id, would.also_changed, would.dry_run) == (standby.id, [], True)
    assert (world.version(), actions(world), world.listed()) == before


def test_retired_standby_key_never_signs(world):
    standby = world.rotation.rotate(CONTEXT)
    world.rotation.retire(standby.id, CONTEXT)
    first = world.signs_with()
    world.pass_time(UNTIL_ACTIVE)
    assert world.signs_with() == first
    assert world.rotation.rotate(CONTEXT).id != standby.id


def test_database_refuses_a_second_active_or_standby_key(world):
    world.rotation.rotate(CONTEXT)
    for state in ("active", "standby"):
        with pytest.raises(sa.exc.IntegrityError), world.database.write() as tx:
            world.rotation._make(tx, state, CONTEXT)


def test_unknown_key_of_a_token_causes_a_reload(world):
    """Of another process, which has not read the database since."""
    other = SigningKeys(world.database, VAULT)
    known = other.up_to_date_ring()
    first = world.signs_with()
    assert other.ring_with(first) is known
    made = world.rotation.rotate(CONTEXT)
    assert other.ring_with(first) is known
    assert made.id in other.ring_with(made.id).keys
    current = other.up_to_date_ring()
    assert other.ring_with("sig_unknown") is current, "an unknown key decrypts nothing"


@pytest.mark.sec(25)
def test_published_keys_are_a_jwk_set_without_secrets(world):
    world.rotation.rotate(CONTEXT)
    ring = world.keys.up_to_date_ring()
    published = [
        {name: getattr(key, name) for name in key.__struct_fields__} for key in ring.jwks.keys
    ]
    parsed = PyJWKSet.from_dict({"keys": published})
    for jwk, found in zip(published, parsed.keys, strict=True):
        assert jwk.keys() == {"kid", "kty", "crv", "x", "y", "use", "alg"}
        assert (jwk["use"], jwk["alg"]) == ("sig", "ES256")
        assert found.key == ring.keys[jwk["kid"]].public
        assert (
            len(urlsafe_b64decode(jwk["x"] + "=")) == len(urlsafe_b64decode(jwk["y"] + "=")) == 32
        )
    assert "gAAAA" not in json.dumps(published)


def test_process_without_the_encryption_key_rotates_nothing(world):
    """Another process has encrypted the next key with a key that this one does not have."""
    world.rotation_of(OTHER_VAULT).rotate(CONTEXT)
    before = world.version()
    world.pass_time(UNTIL_ACTIVE)
    assert world.version() == before


def test_set_without_an_unreadable_key_is_not_published(world):
    """Verifiers would cache it, and refuse the tokens of that key when it signs."""
    assert len(world.published()) == 1
    world.rotation_of(OTHER_VAULT).rotate(CONTEXT)
    with pytest.raises(Refusal) as refused:
        world.published()
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_unreadable_keys_are_replaced_immediately(world):
    """Their encryption key is lost: sign-ins need a key now."""
    lost = [*world.listed(), world.rotation.rotate(CONTEXT)]
    replacing = world.rotation_of(OTHER_VAULT)
    result = replacing.replace_unreadable(CONTEXT)
    assert result.state == "active"
    assert {key.id for key in result.also_changed} == {key.id for key in lost}
    assert world.states() == ["retired", "retired", "active"]
    keys = SigningKeys(world.database, OTHER_VAULT)
    assert keys.problem() is None
    assert keys.signing_key(world.version()).kid == result.id
    before = world.version()
    assert replacing.replace_unreadable(CONTEXT).also_changed == []
    assert world.version() == before


def test_readable_standby_key_takes_the_place_of_an_unreadable_active_one(world):
    other = world.rotation_of(OTHER_VAULT)
    standby = other.rotate(CONTEXT)
    assert other.replace_unreadable(CONTEXT).id == standby.id
    assert world.states() == ["retired", "active"]
