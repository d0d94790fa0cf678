"""Mounts all routes on the application."""

import os
from collections.abc import Callable, Sequence
from functools import partial

from flask import Blueprint

from tokensvc.accounts.routes import AccountRoutes
from tokensvc.app.services import Services
from tokensvc.audit import routes as audit_routes
from tokensvc.callers import routes as caller_routes
from tokensvc.clients import routes as client_routes
from tokensvc.clients.service import SecretCaller
from tokensvc.config.model import PLACEHOLDER_API_KEY, Settings
from tokensvc.core.callers import Authorize, BasicCredential, ServiceCaller, SignedIn, UserCaller
from tokensvc.core.errors import Refusal
from tokensvc.http.app import HttpConfig, ServiceApp, make_app
from tokensvc.http.credentials import client_address, unverified_credential
from tokensvc.limits.rules import Policy
from tokensvc.limits.service import Limiter, check_limit
from tokensvc.ops import routes as ops_routes
from tokensvc.ops.health import ProbeResult
from tokensvc.revocations import routes as revocation_routes
from tokensvc.revocations.events import routes as event_routes
from tokensvc.sessions import routes as session_routes
from tokensvc.sessions.access_tokens.routes import signing_key_routes
from tokensvc.sessions.oauth import routes as oauth_routes
from tokensvc.sign_in import routes as sign_in_routes
from tokensvc.stream.delivery import routes as delivery_routes
from tokensvc.stream.keys import routes as key_routes
from tokensvc.telemetry import traces
from tokensvc.telemetry.settings import port_of
from tokensvc.tokens import routes as token_routes


def build_app(services: Services) -> ServiceApp:
    """Return the application with all routes."""
    record_span = traces.start(os.environ, services.database_clock.host)

    def limit_refused(refusal: Refusal) -> Refusal:
        return services.callers.limit_refused(refusal, client_address())

    config = _http_config(services.settings)
    return make_app(config, _blueprints(services), record_span, limit_refused)


def build_metrics_app(settings: Settings, last_probe: Callable[[], ProbeResult]) -> ServiceApp:
    """Return the application of a process that serves only its metrics port."""
    return make_app(_http_config(settings), [ops_routes.routes(last_probe)])


def _http_config(settings: Settings) -> HttpConfig:
    metrics_bind = settings.metrics.bind
    return HttpConfig(
        public_url=settings.public_url,
        allowed_hosts=settings.hosts.allowed,
        cors_origins=settings.cors.origins,
        trusted_proxies=settings.proxies.trusted,
        metrics_port=port_of(metrics_bind) if metrics_bind else None,
    )


def _account_blueprints(
    services: Services, authorize: Authorize, signed_in: SignedIn
) -> Sequence[Blueprint]:
    """Return the routes that exist only with built-in accounts."""
    accounts = services.accounts
    if accounts is None:
        return []

    account_routes = AccountRoutes(
        accounts=accounts.accounts,
        codes=accounts.codes,
        deliveries=services.stream.deliveries,
        alphabet=services.settings.user_ids.alphabet,
        authorize=authorize,
        signed_in=signed_in,
        count_address=partial(_count_address, services.limiter),
    )

    def authenticate(credential: BasicCredential) -> SecretCaller:
        return services.callers.service_client(credential, client_address())

    return [
        *signing_key_routes(
            accounts.signing_rotation,
            accounts.signing_keys,
            services.settings.sessions.jwks_max_age,
            authorize,
        ),
        *account_routes.blueprints(),
        sign_in_routes.routes(accounts.password_sessions, signed_in),
        session_routes.routes(services.sessions, signed_in),
        oauth_routes.routes(accounts.oauth, services.settings.public_url, authenticate),
    ]


def _count_address(limiter: Limiter, policy: Policy) -> None:
    check_limit(limiter.hit(policy, client_address()))


def _blueprints(services: Services) -> Sequence[Blueprint]:
    token = services.settings.metrics.token
    callers = services.callers

    def authorize(scope: str) -> ServiceCaller:
        return callers.service_with(scope, unverified_credential(), client_address())

    def signing_out() -> UserCaller:
        return callers.signed_in_user(unverified_credential(), client_address(), "sign_out")[0]

    def signed_in() -> UserCaller:
        return callers.signed_in_user(unverified_credential(), client_address(), "other")[0]

    return [
        token_routes.routes(services.tokens),
        caller_routes.routes(callers, services.stream.keys),
        *revocation_routes.routes(
            services.revocations,
            services.erasures,
            services.settings.user_ids.alphabet,
            authorize,
            signing_out,
        ),
        event_routes.routes(
            services.issuers,
            services.provider_events,
            partial(_count_address, services.limiter, "failures"),
        ),
        delivery_routes.routes(
            services.stream.deliveries, services.settings.user_ids.alphabet, authorize
        ),
        key_routes.stream_key_routes(services.stream.rotation, authorize),
        *_account_blueprints(services, authorize, signed_in),
        *client_routes.routes(services.clients, services.client_administration, authorize),
        audit_routes.routes(services.audit, authorize),
        ops_routes.routes(
            services.operations.readiness.last,
            token.get_secret_value() if token is not None else None,
        ),
        *_development_blueprints(services),
    ]


def _development_blueprints(services: Services) -> Sequence[Blueprint]:
    settings = services.settings
    if settings.environment != "development":
        return []
    database = settings.sqlite_path
    return [
        ops_routes.development_routes(
            database and database.with_name(ops_routes.GUIDE_NAME),
            services.operations.readiness.last,
            has_accounts=settings.has_accounts,
            placeholder=PLACEHOLDER_API_KEY,
        )
    ]
