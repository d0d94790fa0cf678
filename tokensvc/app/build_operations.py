"""Builds what keeps the service healthy: readiness, metrics."""

import time
from dataclasses import replace

from tokensvc.app.key_files import SECRETS
from tokensvc.app.services import AccountServices, Base, Operations, Services, StreamServices
from tokensvc.clients.service import Clients
from tokensvc.issuers.service import Issuers
from tokensvc.ops.checks import checks, delivery_checks
from tokensvc.ops.collector import MetricSources
from tokensvc.ops.health import ReadinessProbe
from tokensvc.revocations.clock_faults import ClockFaults
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
    signing_keys = accounts.signing_keys if accounts is not None else None
    return Operations(
        readiness=ReadinessProbe(
            checks(
                database=base.database,
                keys=stream.keys,
                signing_keys=signing_keys,
                issuers=issuers,
                deliveries=stream.deliveries,
                clock_faults=clock_faults,
                active_key_check=stream.active_key_check,
            ),
            time.monotonic,
        ),
        metric_sources=MetricSources(
            issuers=issuers,
            jwks=base.settings.jwks,
            deliveries=stream.deliveries,
            stream_keys=stream.keys,
            signing_keys=signing_keys,
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
    sources = replace(operations.metric_sources, issuers=None)
    return replace(
        services, operations=replace(operations, readiness=readiness, metric_sources=sources)
    )
