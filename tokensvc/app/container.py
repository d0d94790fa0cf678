"""Builds all objects from the settings, each in one place. Each process calls `build`."""

import random
import time
from collections.abc import Callable
from functools import cached_property, partial

from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.app.accounts import AccountDependencies, AccountServices, build_accounts
from tokensvc.app.background import BackgroundLoop, other_loops
from tokensvc.app.foundation import Foundation, open_database
from tokensvc.app.key_files import KeyFiles
from tokensvc.audit.purge import AuditPurge
from tokensvc.callers.access_tokens import AccessTokenCallers
from tokensvc.callers.service import Callers
from tokensvc.config.loader import Settings
from tokensvc.core.clock import Clock, system_clock
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.store import IssuerKeyStore
from tokensvc.ops.checks import checks
from tokensvc.ops.figures import Figures
from tokensvc.ops.health import ReadinessLook
from tokensvc.recovery.service import Recovery
from tokensvc.revocations.purge import RevocationPurge
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.purge import SessionPurge
from tokensvc.sessions.service import Sessions
from tokensvc.standing.session_read import read_session
from tokensvc.stream.delivery import wake_up
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.telemetry import gauges
from tokensvc.tokens.service import TokenService
from tokensvc.vault.hashes import KeyedHashes

_DELIVERY_INTERVAL = 1.0
"""
Seconds between two looks for due deliveries, for the changes of other processes. What a process
changes itself, it sends without a look.
"""


class Services(Foundation):
    """The objects that routes and commands call."""

    def start(self) -> None:
        """Start the background loops of a process that serves requests; first, look once."""
        gauges.set_build_info()
        self.issuers.prepare()
        self.readiness.look()
        if self.deliveries.delivers and self.settings.worker.embedded:
            self.delivery_loop.start()
        for loop in self.other_loops:
            loop.start()

    def stop(self) -> None:
        """Stop the background loops after their current step, delivery first."""
        self.sender.stop()
        for loop in (self.delivery_loop, *self.other_loops):
            loop.stop()

    def close(self) -> None:
        """Stop the background loops and close the database connections."""
        self.stop()
        if self.accounts is not None:
            self.accounts.hashing_pool.close()
        self.database.close()

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of built-in accounts."""
        return Sessions(
            self.database,
            self.clock,
            partial(read_session, self.database, self.host_clock),
            self.vault,
            self.settings.sessions,
            hashes=self.keyed_hashes,
            renew_address=lock_outs.renew_address,
            audits_refreshes=self.settings.audit.refreshes == "all",
        )

    @cached_property
    def keyed_hashes(self) -> KeyedHashes:
        """The hashes of user IDs and addresses, with a secret that all processes have."""
        return KeyedHashes(self.key_files.encryption_keys[0])

    @cached_property
    def accounts(self) -> AccountServices | None:
        """The services of built-in accounts; `None` if these are off."""
        return build_accounts(
            AccountDependencies(
                settings=self.settings,
                database=self.database,
                clock=self.clock,
                host_clock=self.host_clock,
                vault=self.vault,
                keys=self.keys,
                wait_slots=self.wait_slots,
                stream_api=self.stream_api,
                deliveries=self.deliveries,
                revocations=self.revocations,
                sessions=self.sessions,
                limiter=self.limiter,
                hashes=self.keyed_hashes,
            )
        )

    @cached_property
    def callers(self) -> Callers:
        """The authentication of all callers."""
        return Callers(
            issuers=self.issuers,
            clients=self.clients,
            standings=self.standings,
            limiter=self.limiter,
            secret_usage=self.secret_usage,
            access_tokens=self.access_token_callers,
            account_prefix=self.settings.accounts.user_id_prefix if self._owns_ids else "",
        )

    @property
    def _owns_ids(self) -> bool:
        """Whether user IDs with the prefix of accounts are only for users with an account."""
        return self.settings.has_accounts and not self.settings.shared_user_ids

    @cached_property
    def access_token_callers(self) -> AccessTokenCallers | None:
        """The callers with an access token of this service; `None` without built-in accounts."""
        if self.accounts is None:
            return None
        return AccessTokenCallers(
            tokens=self.accounts.access_tokens,
            sessions=self.sessions,
            clients=self.clients,
            standings=self.standings,
            signing_ring_now=self.accounts.signing_ring_now,
            host_clock=self.host_clock,
        )

    @cached_property
    def tokens(self) -> TokenService:
        """The mint."""
        return TokenService(
            callers=self.callers,
            keys=self.keys,
            unnamed_mints=self.unnamed_mints,
            settings=self.settings.token,
            alphabet=self.settings.user_ids.alphabet,
            clock=self.host_clock,
            random=random.SystemRandom().random,
        )

    @cached_property
    def revocations(self) -> Revocations:
        """The actions on users and the app."""
        return Revocations(
            self.database,
            self.clock,
            _sources(self.settings),
            delivers=self.settings.stream.delivers,
            wait_slots=self.wait_slots,
            count_sessions=self.sessions.count_live,
        )

    @cached_property
    def recovery(self) -> Recovery:
        """What a restored database needs."""
        return Recovery(self.database, self.clock, self.revocations)

    @cached_property
    def readiness(self) -> ReadinessLook:
        """The latest look at the readiness."""
        return ReadinessLook(
            checks(
                database=self.database,
                keys=self.keys,
                signing_keys=self.accounts.signing_keys if self.accounts is not None else None,
                issuers=self.issuers,
                deliveries=self.deliveries,
                clock_faults=self.clock_faults,
                active_key_check=self.active_key_check,
            ),
            time.monotonic,
        )

    @cached_property
    def figures(self) -> Figures:
        """The figures for the metrics of a process that serves requests."""
        return self.figures_with(self.issuers)

    def figures_with(self, issuers: Issuers | None) -> Figures:
        """
        Return the figures for the metrics.

        Args:
            issuers: Issuers whose keys this process fetches; `None` if it fetches none.
        """
        rings: dict[str, StreamKeys | SigningKeys] = {"stream": self.keys}
        if self.accounts is not None:
            rings["signing"] = self.accounts.signing_keys
        return Figures(
            issuers=issuers,
            jwks=self.settings.jwks,
            deliveries=self.deliveries,
            rings=rings,
            clients=self.clients,
            reencryption=self.reencryption,
            clock=self.host_clock,
        )

    @cached_property
    def delivery_loop(self) -> BackgroundLoop:
        """The loop of the sender in a process that also serves requests."""
        return BackgroundLoop("delivery", self.sender.step, _DELIVERY_INTERVAL, wake_up=wake_up.DUE)

    @cached_property
    def other_loops(self) -> tuple[BackgroundLoop, ...]:
        """All other background loops, in the order in which they stop."""
        retention = self.settings.audit.retention
        return other_loops(
            issuers=self.issuers,
            secret_usage=self.secret_usage,
            unnamed_mints=self.unnamed_mints,
            revocations=self.revocations,
            readiness=self.readiness,
            figures=self.figures,
            active_key_check=self.active_key_check,
            purges={
                "audit_purge": AuditPurge(self.database, self.clock, retention),
                "revocation_purge": RevocationPurge(self.database, self.clock, retention),
                "session_purge": SessionPurge(self.database, self.clock, self.settings.sessions),
            },
            of_accounts=self.accounts.loops() if self.accounts is not None else (),
        )


def build(
    settings: Settings,
    key_files: KeyFiles | None = None,
    *,
    issuer_keys: Callable[[Database], IssuerKeyStore] = IssuerKeyStore,
    clock: Clock = system_clock,
) -> Services:
    """
    Build all services.

    Does not wait for a network.

    Args:
        settings: All settings.
        key_files: Keys that this process or its master has read; `None`: they are read now.
        issuer_keys: Function that returns the store for issuers' keys.
        clock: Clock of this host.

    Raises:
        StartupError: The operator must change something first.
    """
    database = open_database(settings)
    key_files = key_files or KeyFiles.read(settings, database)
    services = Services(settings, database, key_files, issuer_keys(database), clock)
    # All now: what cannot be built must end the start, not a request.
    for name in dir(Services):
        if isinstance(getattr(Services, name), cached_property):
            getattr(services, name)
    return services


def _sources(settings: Settings) -> list[Source]:
    """Return the sources of user IDs."""
    return [
        Source(prefix=issuer.user_id_prefix, by_issue_time=issuer.sign_in_time == "iat")
        for issuer in settings.issuers
    ]
