"""
The settings of the service: `load` is the only way to them.

Owns what must agree between fields, and that every fault is said at once, under the name that the
operator wrote. The fields: `settings_model`; names and sources: `sources`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import InitSettingsSource

from tokensvc.config import sources
from tokensvc.config.model import Settings
from tokensvc.config.sources import InvalidSetting, Location, SourceValues
from tokensvc.core import user_ids
from tokensvc.issuers.rules import overlapping_prefixes
from tokensvc.issuers.settings import DEVELOPMENT_ISSUER
from tokensvc.net.urls import names_loopback
from tokensvc.telemetry.settings import port_of

__all__ = ["InvalidSetting", "Settings", "SettingsError", "json_schema", "load"]


class SettingsError(Exception):
    """
    The process must not start.

    Attributes:
        faults: All of them.
    """

    def __init__(self, faults: list[InvalidSetting]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def load(environ: Mapping[str, str]) -> Settings:
    """
    Read the settings: variables before the TOML file before defaults.

    Raises:
        SettingsError: With every fault.
    """
    toml = sources.read_toml(environ.get(sources.CONFIG))
    variables = sources.read_environment(environ, sources.leaves(Settings))
    faults = [*variables.faults, *toml.faults]
    broken: set[str | int] = {*variables.broken}
    try:
        settings = _merge(variables, toml, without=set())
    except ValidationError as error:
        for detail in _causes(error):
            broken.add(detail["loc"][0])
            faults.append(
                InvalidSetting(_written(detail["loc"], variables, toml), _explain(detail))
            )
        # Without them the rest is judged by what must agree, so that every fault is said.
        settings = _merge(variables, toml, without=broken)
    for concerned, check in _CROSS_FIELD_CHECKS:
        if broken.isdisjoint(concerned):
            faults += (
                InvalidSetting(_written(at, variables, toml), text) for at, text in check(settings)
            )
    if settings.environment == "production" and environ.get("FLASK_DEBUG", "0") not in {"", "0"}:
        faults.append(InvalidSetting("FLASK_DEBUG", "shows internals to strangers: unset it"))
    if faults:
        raise SettingsError(faults)
    return settings


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the TOML file."""
    return Settings.model_json_schema()


def _merge(variables: SourceValues, toml: SourceValues, *, without: set[str | int]) -> Settings:
    layers = tuple(
        InitSettingsSource(
            Settings, {name: value for name, value in given.values.items() if name not in without}
        )
        for given in (variables, toml)
    )
    return Settings(_build_sources=(layers, {}))  # type: ignore[call-arg]


def _causes(error: ValidationError) -> Iterator[ErrorDetails]:
    """Leave out what is only said because something else is wrong."""
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        location = detail["loc"]
        is_consequence = detail["type"] == "default_factory_not_called" or (
            # Items that are faulty are not counted.
            detail["type"] == "too_short"
            and any(other["loc"][:-1] == location for other in details)
        )
        if not is_consequence:
            yield detail


def _written(location: Location, variables: SourceValues, toml: SourceValues) -> str:
    """Give the name of a place as the operator wrote it; of an absent value, its variable."""
    for length in range(len(location), 0, -1):
        name = variables.names.get(location[:length])
        if name is not None:
            return sources.dotted(name, location[length:])
    if not sources.holds(toml.values, location):
        for leaf in sources.leaves(Settings):
            if leaf.path == location:
                return leaf.variable
    return sources.dotted("", location)


def _explain(detail: ErrorDetails) -> str:
    location = detail["loc"]
    match detail["type"]:
        case "extra_forbidden":
            known = [".".join(leaf.path) for leaf in sources.leaves(Settings)]
            siblings = sources.members_at(Settings, location[:-1])
            return sources.unknown(str(location[-1]), siblings, known)
        case "missing":
            meaning = sources.members_at(Settings, location[:-1])[str(location[-1])]
            return f"is missing: {meaning}"
        case "value_error":
            return str(detail["ctx"]["error"])
    return detail["msg"].replace("Input should", "must")


_Disagreements: TypeAlias = Iterator[tuple[Location, str]]


def _check_public_url(settings: Settings) -> _Disagreements:
    if not settings.public_url:
        yield ("public_url",), "is missing: write the https URL under which clients reach you"
    elif not _stays_unread(settings.public_url, http=settings.environment == "development"):
        yield ("public_url",), "must begin with https:// (http: on this machine, in development)"


def _check_stream(settings: Settings) -> _Disagreements:
    stream = settings.stream
    if stream.api_key and not stream.api_secret:
        yield ("stream", "api_secret"), "is missing: a Stream key needs its secret"
    if stream.api_secret and not stream.api_key:
        yield ("stream", "api_key"), "is missing: a Stream secret needs its key"
    if not _stays_unread(stream.base_url, http=True):
        yield ("stream", "base_url"), "must begin with https:// (http: on this machine)"


def _check_encryption_keys(settings: Settings) -> _Disagreements:
    if settings.sqlite_path is None and not settings.encryption_keys:
        yield ("encryption_keys",), "is missing: PostgreSQL needs at least one"


def _check_issuers(settings: Settings) -> _Disagreements:
    for member in ("name", "issuer"):
        seen = set()
        for place, issuer in enumerate(settings.issuers):
            value = getattr(issuer, member)
            if value in seen:
                yield ("issuers", place, member), f"{value!r} is another issuer's: choose one"
            seen.add(value)


def _check_development_issuer(settings: Settings) -> _Disagreements:
    if settings.environment == "development":
        return
    for place, issuer in enumerate(settings.issuers):
        if issuer.issuer == DEVELOPMENT_ISSUER:
            message = "signs in whomever it is asked to, and is for development: take it out"
            yield ("issuers", place, "issuer"), message


def _check_user_ids(settings: Settings) -> _Disagreements:
    alphabet = settings.user_ids.alphabet
    for place, issuer in enumerate(settings.issuers):
        prefix = issuer.user_id_prefix
        if prefix and not user_ids.is_legal(prefix, alphabet):
            yield ("issuers", place, "user_id_prefix"), f"must be of a user id: {alphabet.rule}"
    if settings.shared_user_ids:
        return
    prefixes = [(issuer.name, issuer.user_id_prefix) for issuer in settings.issuers]
    for one, other in overlapping_prefixes(prefixes):
        message = (
            f"{one} and {other} could give one user id to two people: give both a user_id_prefix, "
            "neither of which begins the other, or set shared_user_ids when they are the same"
        )
        yield ("issuers",), message


def _check_metrics(settings: Settings) -> _Disagreements:
    # By its port alone a request is known for an operator's.
    if settings.metrics.bind and port_of(settings.metrics.bind) == port_of(settings.bind):
        yield ("metrics", "bind"), "has the port of `bind`: choose another one"


_CROSS_FIELD_CHECKS: tuple[tuple[frozenset[str], Callable[[Settings], _Disagreements]], ...] = (
    (frozenset({"environment", "public_url"}), _check_public_url),
    (frozenset({"stream"}), _check_stream),
    (frozenset({"database_url", "encryption_keys"}), _check_encryption_keys),
    (frozenset({"issuers"}), _check_issuers),
    (frozenset({"environment", "issuers"}), _check_development_issuer),
    (frozenset({"issuers", "shared_user_ids", "user_ids"}), _check_user_ids),
    (frozenset({"bind", "metrics"}), _check_metrics),
)
"""What must agree, with the fields that it is about: it is not judged while one is faulty."""


def _stays_unread(url: str, *, http: bool) -> bool:
    """Tell whether what goes to a URL is encrypted or, where `http` may be, stays here."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (http and names_loopback(parts.hostname or ""))
