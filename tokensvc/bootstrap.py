"""Settings become objects here, and nowhere else: `build` in each process, then `build_app`."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flask import Blueprint

from tokensvc.audit import routes as audit_routes
from tokensvc.audit.service import AuditTrail
from tokensvc.callers import routes as caller_routes
from tokensvc.callers.service import Callers
from tokensvc.clients import routes as client_routes
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.core.callers import ServiceCaller, UserCaller
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import StartupError
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.delivery import routes as delivery_routes
from tokensvc.delivery.loop import DeliveryLoop
from tokensvc.delivery.sender import Sender
from tokensvc.delivery.service import Deliveries
from tokensvc.http.app import HttpConfig, ServiceApp, make_app
from tokensvc.http.credentials import client_address, unverified_credential
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.keys import routes as stream_key_routes
from tokensvc.keys.reencryption import Reencryption
from tokensvc.keys.rotation import StreamKeyRotation
from tokensvc.keys.service import StreamKeys
from tokensvc.keys.vault import Vault, load_or_make_key_file
from tokensvc.limits.service import Limiter
from tokensvc.ops import routes as ops_routes
from tokensvc.ops.checks import checks
from tokensvc.revocations import routes as revocation_routes
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.settings import Settings
from tokensvc.standing.store import StandingStore
from tokensvc.stream.api import StreamApi, check_key
from tokensvc.telemetry.settings import port_of
from tokensvc.tokens import routes as token_routes
from tokensvc.tokens.service import TokenService
from tokensvc.upkeep.loop import Upkeep
from tokensvc.upkeep.usage import Usage

_BACKGROUND_THREADS = 4
"""Beside those that serve requests: the refresh of issuers' keys, delivery, upkeep, and the
readiness probe."""


@dataclass(frozen=True, slots=True)
class Services:
    """What routes and commands call."""

    settings: Settings
    database: Database
    standings: StandingStore
    keys: StreamKeys
    clients: Clients
    client_administration: ClientAdministration
    issuers: Issuers
    callers: Callers
    tokens: TokenService
    revocations: Revocations
    deliveries: Deliveries
    delivery_loop: DeliveryLoop
    rotation: StreamKeyRotation
    reencryption: Reencryption
    audit: AuditTrail
    upkeep: Upkeep

    def start(self) -> None:
        """Start the background threads of a process that serves requests."""
        self.issuers.start()
        if self.deliveries.delivers and self.settings.worker.embedded:
            self.delivery_loop.start()
        self.upkeep.start()

    def stop(self) -> None:
        """Let the background threads end what they have begun."""
        self.delivery_loop.stop()
        self.upkeep.stop()
        self.issuers.stop()

    def close(self) -> None:
        """Stop the background threads and close the connections."""
        self.stop()
        self.database.close()


def open_database(settings: Settings) -> Database:
    """Open the database, with a connection for each thread."""
    return Database.open(
        settings.database_url.get_secret_value(), pool_size=settings.threads + _BACKGROUND_THREADS
    )


def open_vault(settings: Settings) -> Vault:
    """
    Take the encryption keys of the settings, or the one beside a SQLite file.

    Raises:
        StartupError: There is none, or it cannot be used.
    """
    if settings.encryption_keys:
        return Vault([key.get_secret_value() for key in settings.encryption_keys])
    path = key_file(settings)
    if path is None:
        raise StartupError("encryption_keys: PostgreSQL needs them.")
    return Vault([load_or_make_key_file(path)])


def key_file(settings: Settings) -> Path | None:
    """Give where the encryption key is that SQLite has when the settings have none."""
    path = settings.sqlite_path
    return None if path is None else path.with_name(f"{path.name}.key")


def build(
    settings: Settings, *, issuer_keys: Callable[[Database], IssuerKeyStore] = IssuerKeyStore
) -> Services:
    """
    Build what routes and commands call. Nothing here waits for a network.

    Args:
        issuer_keys: Makes the store of issuers' keys.

    Raises:
        StartupError: What the operator must change first.
    """
    database = open_database(settings)
    clock = DatabaseClock(database, system_clock)
    vault = open_vault(settings)
    keys = StreamKeys(database, vault)
    standings = StandingStore(database, system_clock)
    clients = Clients(database, system_clock)
    # Where requests wait for what is outside, whatever it is: half of the threads stay free.
    places = threading.BoundedSemaphore(max(1, settings.threads // 2))
    issuers = _issuers(settings, issuer_keys(database), places)
    usage = Usage(system_clock)
    callers = Callers(
        issuers=issuers,
        clients=clients,
        standings=standings,
        limiter=Limiter(settings.limits, settings.redis_url),
        usage=usage,
    )
    sender = _sender(settings, database, clock, keys)
    delivers = settings.stream.delivery == "on"
    audit = AuditTrail(database, clock, settings.audit.retention)
    return Services(
        settings=settings,
        database=database,
        standings=standings,
        keys=keys,
        clients=clients,
        client_administration=ClientAdministration(database, system_clock),
        issuers=issuers,
        callers=callers,
        tokens=_tokens(settings, callers, standings, keys, usage),
        revocations=_revocations(settings, database, clock, places),
        deliveries=Deliveries(database, clock, sender.refused_keys, delivers=delivers),
        delivery_loop=DeliveryLoop(sender),
        rotation=_rotation(settings, database, clock, vault, places),
        reencryption=Reencryption(database, clock, vault),
        audit=audit,
        upkeep=Upkeep(database, usage, audit),
    )


def _issuers(settings: Settings, store: IssuerKeyStore, places: threading.Semaphore) -> Issuers:
    return Issuers(
        settings.issuers,
        settings.jwks,
        settings.user_ids.alphabet,
        store,
        system_clock,
        places=places,
    )


def _tokens(
    settings: Settings,
    callers: Callers,
    standings: StandingStore,
    keys: StreamKeys,
    usage: Usage,
) -> TokenService:
    return TokenService(
        callers=callers,
        standings=standings,
        keys=keys,
        usage=usage,
        settings=settings.token,
        alphabet=settings.user_ids.alphabet,
        clock=system_clock,
        random=random.SystemRandom().random,
    )


def _revocations(
    settings: Settings, database: Database, clock: DatabaseClock, places: threading.Semaphore
) -> Revocations:
    return Revocations(
        database,
        clock,
        _sources(settings),
        delivers=settings.stream.delivery == "on",
        places=places,
    )


def _rotation(
    settings: Settings,
    database: Database,
    clock: DatabaseClock,
    vault: Vault,
    places: threading.Semaphore,
) -> StreamKeyRotation:
    ask_stream = partial(check_key, base_url=settings.stream.base_url, clock=system_clock)
    return StreamKeyRotation(
        database,
        clock,
        vault,
        lambda api_key, secret: ask_stream(api_key=api_key, secret=secret),
        places=places,
    )


def _sender(
    settings: Settings, database: Database, clock: DatabaseClock, keys: StreamKeys
) -> Sender:
    return Sender(
        database=database,
        clock=clock,
        ring_at=keys.ring_at,
        api=StreamApi(settings.stream.base_url, system_clock),
        host=system_clock,
        chance=random.SystemRandom().random,
        monotonic=time.monotonic,
    )


def _sources(settings: Settings) -> list[Source]:
    """Give where user ids come from, as revocations see it."""
    return [
        Source(prefix=issuer.user_id_prefix, by_issue_time=issuer.sign_in_time == "iat")
        for issuer in settings.issuers
    ]


def build_app(services: Services) -> ServiceApp:
    """Mount every route."""
    settings = services.settings
    metrics_bind = settings.metrics.bind
    config = HttpConfig(
        public_url=settings.public_url,
        allowed_hosts=settings.hosts.allowed,
        cors_origins=settings.cors.origins,
        trusted_proxies=settings.proxies.trusted,
        metrics_port=port_of(metrics_bind) if metrics_bind else None,
    )
    return make_app(config, _blueprints(services))


def _blueprints(services: Services) -> Sequence[Blueprint]:
    token = services.settings.metrics.token
    callers = services.callers

    def authorize(scope: str) -> ServiceCaller:
        return callers.service_with(scope, unverified_credential(), client_address())

    def signed_in() -> UserCaller:
        credential = unverified_credential()
        return callers.signed_in_user(credential, client_address(), limited=False)[0]

    return [
        token_routes.routes(services.tokens),
        caller_routes.routes(callers, services.keys),
        *revocation_routes.routes(
            services.revocations, services.settings.user_ids.alphabet, authorize, signed_in
        ),
        delivery_routes.routes(services.deliveries, services.settings.user_ids.alphabet, authorize),
        stream_key_routes.routes(services.rotation, authorize),
        *client_routes.routes(services.clients, services.client_administration, authorize),
        audit_routes.routes(services.audit, authorize),
        ops_routes.routes(
            checks(services.database, services.keys, services.issuers, services.deliveries),
            token.get_secret_value() if token is not None else None,
        ),
    ]
