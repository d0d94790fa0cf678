"""Builds what keeps the service healthy: readiness, metrics."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tokensvc.app.key_files import SECRETS
from tokensvc.app.services import AccountServices, Base, Operations, Services, StreamServices
from tokensvc.clients.service import Clients
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock
from tokensvc.issuers.service import Issuers
from tokensvc.ops.checks import checks, delivery_checks
from tokensvc.ops.collector import MetricSources, collect
from tokensvc.ops.health import ReadinessProbe
from tokensvc.revocations.clock_faults import ClockFaults
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.vault.reencryption import Reencryption


def build_operations(
    base: Base,
    issuers: Issuers,
    clients: Clients,
    stream: StreamServices,
    accounts: AccountServices | None,
) -> Operations:
    """Build the operations of a process that serves requests."""
    clock_faults = ClockFaults(base.database, base.database_clock)
    reencryption = Reencryption(base.database, base.database_clock, base.vault, SECRETS)
    return Operations(
        readiness=ReadinessProbe(
            checks(
                database=base.database,
                keys=stream.keys,
                signing_keys=accounts.signing_keys if accounts is not None else None,
                issuers=issuers,
                deliveries=stream.deliveries,
                clock_faults=clock_faults,
                active_key_check=stream.active_key_check,
            ),
            time.monotonic,
        ),
        collect_metrics=_collector(
            base.settings,
            stream,
            accounts,
            issuers=issuers,
            clients=clients,
            reencryption=reencryption,
            clock=base.clock,
        ),
        reencryption=reencryption,
        clock_faults=clock_faults,
    )


def for_worker(services: Services) -> Services:
    """Return the services of a process that only delivers: it needs no issuer to be ready."""
    stream, operations = services.stream, services.operations
    readiness = ReadinessProbe(
        delivery_checks(
            database=services.database,
            keys=stream.keys,
            deliveries=stream.deliveries,
            clock_faults=operations.clock_faults,
            active_key_check=stream.active_key_check,
        ),
        time.monotonic,
    )
    collect_metrics = _collector(
        services.settings,
        stream,
        services.accounts,
        issuers=None,
        clients=services.clients,
        reencryption=operations.reencryption,
        clock=services.database_clock.host,
    )
    return replace(
        services,
        operations=replace(operations, readiness=readiness, collect_metrics=collect_metrics),
    )


def _collector(
    settings: Settings,
    stream: StreamServices,
    accounts: AccountServices | None,
    *,
    issuers: Issuers | None,
    clients: Clients,
    reencryption: Reencryption,
    clock: Clock,
) -> Callable[[], None]:
    rings: dict[str, StreamKeys | SigningKeys] = {"stream": stream.keys}
    if accounts is not None:
        rings["signing"] = accounts.signing_keys
    sources = MetricSources(
        issuers=issuers,
        jwks=settings.jwks,
        deliveries=stream.deliveries,
        rings=rings,
        clients=clients,
        reencryption=reencryption,
        clock=clock,
    )
    return partial(collect, sources)
