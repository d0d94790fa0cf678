"""The checks of settings against each other. Each yields a location and what would be valid."""

from collections.abc import Callable, Iterator
from typing import TypeAlias
from urllib.parse import urlsplit

from tokensvc.accounts.settings import ACCOUNTS
from tokensvc.config.model import PLACEHOLDER_API_KEY, Settings
from tokensvc.config.sources import Location
from tokensvc.core import user_ids
from tokensvc.issuers.rules import overlapping_prefixes
from tokensvc.issuers.settings import DEVELOPMENT_ISSUER
from tokensvc.net.addresses import names_loopback
from tokensvc.telemetry.settings import port_of

Conflicts: TypeAlias = Iterator[tuple[Location, str]]


def conflicts(settings: Settings, invalid: set[str]) -> Conflicts:
    """
    Run every check that uses none of the invalid fields.

    Args:
        settings: Settings with defaults in place of invalid fields.
        invalid: Names of the invalid top-level fields.
    """
    for fields, check in _CROSS_FIELD_CHECKS:
        if invalid.isdisjoint(fields):
            yield from check(settings)


def _check_public_url(settings: Settings) -> Conflicts:
    if not settings.public_url:
        yield ("public_url",), "is missing: write the https URL at which clients reach the service"
    elif not _is_protected(settings.public_url, http=settings.environment == "development"):
        yield ("public_url",), "must begin with https:// (in development also http://127.0.0.1)"


def _check_stream(settings: Settings) -> Conflicts:
    stream = settings.stream
    if stream.api_key and not stream.api_secret:
        yield ("stream", "api_secret"), "is missing: a Stream key needs its secret"
    if stream.api_secret and not stream.api_key:
        yield ("stream", "api_key"), "is missing: a Stream secret needs its key"
    if not _is_protected(stream.base_url, http=True):
        yield ("stream", "base_url"), "must begin with https:// (http:// only for this machine)"


def _check_erasure(settings: Settings) -> Conflicts:
    erasure = settings.erasure
    if erasure.user == "hard" and {erasure.messages, erasure.conversations} != {"hard"}:
        message = (
            "Stream deletes a user `hard` only with `erasure.messages` and `erasure.conversations` "
            "`hard`: set these, or `pruning` here"
        )
        yield ("erasure", "user"), message


def _check_placeholder_key(settings: Settings) -> Conflicts:
    if settings.environment == "production" and settings.stream.api_key == PLACEHOLDER_API_KEY:
        message = (
            "Stream rejects the placeholder key of `make run`. Set STREAM_API_KEY and "
            "STREAM_API_SECRET."
        )
        yield ("stream", "api_key"), message


def _check_unsafe_restored(settings: Settings) -> Conflicts:
    if settings.unsafe_restored and settings.environment == "production":
        message = "is for development only: remove it and run `tokensvc after-restore`"
        yield ("unsafe_restored",), message


def _check_encryption_keys(settings: Settings) -> Conflicts:
    if settings.sqlite_path is None and not settings.encryption_keys:
        yield ("encryption_keys",), "is missing: PostgreSQL needs at least one"


def _check_unique_issuers(settings: Settings) -> Conflicts:
    for member in ("name", "issuer"):
        seen = set()
        for index, issuer in enumerate(settings.issuers):
            value = getattr(issuer, member)
            if value in seen:
                yield ("issuers", index, member), f"another issuer has {value!r}: use a unique one"
            seen.add(value)


def _check_development_issuer(settings: Settings) -> Conflicts:
    if settings.environment == "development":
        return
    for index, issuer in enumerate(settings.issuers):
        if issuer.issuer == DEVELOPMENT_ISSUER:
            yield ("issuers", index, "issuer"), "accepts any user, for development only: remove it"


def _check_accounts(settings: Settings) -> Conflicts:
    """Check that issuers and built-in accounts cannot collide."""
    if not settings.has_accounts:
        return
    for index, issuer in enumerate(settings.issuers):
        if issuer.issuer == settings.public_url:
            message = "is `public_url`, the issuer of the built-in accounts"
            yield ("issuers", index, "issuer"), message
    if settings.shared_user_ids and settings.accounts.sign_up == "open" and settings.issuers:
        message = (
            "must not be `open` with shared_user_ids: anyone could sign up with the user ID of "
            "another person"
        )
        yield ("accounts", "sign_up"), message


def _check_user_id_prefixes(settings: Settings) -> Conflicts:
    alphabet = settings.user_ids.alphabet
    sources: list[tuple[str, str, Location]] = [
        (issuer.name, issuer.user_id_prefix, ("issuers", index, "user_id_prefix"))
        for index, issuer in enumerate(settings.issuers)
    ]
    if settings.has_accounts:
        prefix = settings.accounts.user_id_prefix
        sources.append((ACCOUNTS, prefix, ("accounts", "user_id_prefix")))
    for _, prefix, location in sources:
        if prefix and not user_ids.is_legal(prefix, alphabet):
            yield location, f"is not legal, use {alphabet.rule}"
    if settings.shared_user_ids:
        return
    for name, other in overlapping_prefixes([source[:2] for source in sources]):
        message = (
            f"{name} and {other} can produce the same user ID for two people: set user_id_prefix "
            "of both, so that neither begins with the other, or set shared_user_ids if the people "
            "are the same"
        )
        yield ("issuers",), message


def _check_metrics_port(settings: Settings) -> Conflicts:
    # The port alone shows that a request for metrics comes from an operator.
    if settings.metrics.bind and port_of(settings.metrics.bind) == port_of(settings.bind):
        yield ("metrics", "bind"), "has the port of `bind`: use another port"


_CROSS_FIELD_CHECKS: tuple[tuple[frozenset[str], Callable[[Settings], Conflicts]], ...] = (
    (frozenset({"environment", "public_url"}), _check_public_url),
    (frozenset({"stream"}), _check_stream),
    (frozenset({"erasure"}), _check_erasure),
    (frozenset({"environment", "stream"}), _check_placeholder_key),
    (frozenset({"environment", "unsafe_restored"}), _check_unsafe_restored),
    (frozenset({"database_url", "encryption_keys"}), _check_encryption_keys),
    (frozenset({"issuers"}), _check_unique_issuers),
    (frozenset({"environment", "issuers"}), _check_development_issuer),
    (
        frozenset({"accounts", "environment", "issuers", "public_url", "shared_user_ids"}),
        _check_accounts,
    ),
    (
        frozenset({"accounts", "environment", "issuers", "shared_user_ids", "user_ids"}),
        _check_user_id_prefixes,
    ),
    (frozenset({"bind", "metrics"}), _check_metrics_port),
)
"""Checks, each with the top-level fields that it uses."""


def _is_protected(url: str, *, http: bool) -> bool:
    """Return whether traffic to a URL is encrypted or, if `http` is allowed, stays on this host."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (http and names_loopback(parts.hostname or ""))
