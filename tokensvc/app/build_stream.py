"""Builds the key ring of Stream, and what calls Stream."""

import time
from functools import partial

from tokensvc.app.services import Base, StreamServices
from tokensvc.standing.store import app_floor
from tokensvc.stream.api import StreamApi, check_key
from tokensvc.stream.delivery.sender import Sender
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.service import StreamKeys, pending_counts
from tokensvc.stream.keys.verification import CheckKey
from tokensvc.stream.responses import KeyCheck


def build_stream(base: Base) -> StreamServices:
    """Build the services of Stream."""
    database, database_clock, vault = base.database, base.database_clock, base.vault
    is_delivery_on = base.settings.stream.is_delivery_on
    keys = StreamKeys(database, vault)
    active_key_check, check, api = _stream_calls(base, keys)
    sender = Sender(
        database=database,
        database_clock=database_clock,
        ring_at=keys.ring_at,
        api=api,
        share=base.settings.stream.share,
        clock=base.clock,
        random_fraction=base.random,
        monotonic=time.monotonic,
    )
    return StreamServices(
        keys=keys,
        rotation=StreamKeyRotation(
            database, database_clock, vault, check, wait_slots=base.wait_slots
        ),
        unnamed_mints=pending_counts(database),
        active_key_check=active_key_check,
        api=api,
        sender=sender,
        deliveries=Deliveries(
            database, database_clock, sender.refused_keys, is_delivery_on=is_delivery_on
        ),
    )


def _stream_calls(
    base: Base, keys: StreamKeys
) -> tuple[ActiveKeyCheck, CheckKey | None, StreamApi]:
    """
    Return the check of the active key, and what leads to it when Stream refuses a key.

    Without deliveries, no key is checked.
    """
    stream, clock = base.settings.stream, base.clock
    base_url, is_delivery_on = stream.base_url, stream.is_delivery_on

    def ask(key: StreamKey) -> KeyCheck:
        return check_key(base_url, key, clock)

    active_key_check = ActiveKeyCheck(
        keys, ask if is_delivery_on else None, partial(app_floor, base.database), time.monotonic
    )

    def check(key: StreamKey) -> KeyCheck:
        result = ask(key)
        if not result.accepted:
            active_key_check.key_refused()
        return result

    api = StreamApi(
        base_url, clock, active_key_check.key_refused, base.settings.erasure.model_dump()
    )
    return active_key_check, check if is_delivery_on else None, api
