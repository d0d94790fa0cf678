"""Builds the key ring of Stream, and what calls Stream."""

import time
from collections.abc import Callable

from tokensvc.app.services import StreamServices
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.stream.api import KeyCheck, StreamApi, check_key
from tokensvc.stream.delivery.sender import Sender
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.unnamed_mints import UnnamedMints
from tokensvc.stream.keys.verification import CheckKey
from tokensvc.vault.vault import Vault


def build_stream(
    settings: Settings,
    database: Database,
    database_clock: DatabaseClock,
    vault: Vault,
    wait_slots: WaitSlots,
    *,
    random: Callable[[], float],
) -> StreamServices:
    """Build the services of Stream."""
    keys = StreamKeys(database, vault)
    active_key_check, check, api = _stream_calls(settings, keys, database_clock.host)
    sender = Sender(
        database=database,
        database_clock=database_clock,
        ring_at=keys.ring_at,
        api=api,
        clock=database_clock.host,
        random_fraction=random,
        monotonic=time.monotonic,
    )
    return StreamServices(
        keys=keys,
        rotation=StreamKeyRotation(database, database_clock, vault, check, wait_slots=wait_slots),
        unnamed_mints=UnnamedMints(database, database_clock.host),
        active_key_check=active_key_check,
        api=api,
        sender=sender,
        deliveries=Deliveries(
            database, database_clock, sender.refused_keys, delivers=settings.stream.delivers
        ),
    )


def _stream_calls(
    settings: Settings, keys: StreamKeys, clock: Clock
) -> tuple[ActiveKeyCheck, CheckKey | None, StreamApi]:
    """
    Return the check of the active key, and what leads to it when Stream refuses a key.

    Without deliveries, no key is checked.
    """
    base_url, delivers = settings.stream.base_url, settings.stream.delivers

    def ask(key: StreamKey) -> KeyCheck:
        return check_key(base_url, key, clock)

    active_key_check = ActiveKeyCheck(keys, ask if delivers else None, time.monotonic)

    def check(key: StreamKey) -> KeyCheck:
        result = ask(key)
        if not result.accepted:
            active_key_check.key_refused()
        return result

    api = StreamApi(base_url, clock, active_key_check.key_refused)
    return active_key_check, check if delivers else None, api
