"""
The tables of this release; `migrations/` creates and changes them in a database.

Times are epoch seconds: integers, except those of `sessions`, which have fractions. Constraints
protect what a bug would otherwise break silently.
"""

from tokensvc.database.tables.audit import (
    audit_events,
    audit_purge,
)
from tokensvc.database.tables.built_in_accounts import (
    account_codes,
    accounts,
    known_addresses,
    sessions,
    sign_in_failures,
)
from tokensvc.database.tables.clients import (
    client_ids,
    client_secrets,
    service_clients,
)
from tokensvc.database.tables.database import (
    database_environment,
    live_database,
    metadata,
)
from tokensvc.database.tables.keys import (
    issuer_keys,
    signing_keys,
    stream_keys,
    unnamed_mints,
)
from tokensvc.database.tables.standings import (
    app_standing,
    deliveries,
    profiles,
    revocations,
    user_standings,
)

__all__ = [
    "account_codes",
    "accounts",
    "app_standing",
    "audit_events",
    "audit_purge",
    "client_ids",
    "client_secrets",
    "database_environment",
    "deliveries",
    "issuer_keys",
    "known_addresses",
    "live_database",
    "metadata",
    "profiles",
    "revocations",
    "service_clients",
    "sessions",
    "sign_in_failures",
    "signing_keys",
    "stream_keys",
    "unnamed_mints",
    "user_standings",
]
