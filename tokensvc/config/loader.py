"""
Loads the settings; `load` is the only way to get them.

Reports every invalid setting together, each under the name that the operator wrote.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from tokensvc.config import sources
from tokensvc.config.checks import conflicts
from tokensvc.config.model import Settings
from tokensvc.config.sources import InvalidSetting, Location, SourceValues

_NAME_THE_FILE = "or name the settings file in TOKENSVC_CONFIG"
_NO_DATABASE = (
    "is missing: write a URL (sqlite:////path/to/file.db or postgresql://user@host/name), "
    f"{_NAME_THE_FILE}"
)
_RELATIVE = (
    "is a relative path without a folder: write an absolute one (sqlite:////path/to/file.db), "
    f"{_NAME_THE_FILE}, whose folder a relative path counts from"
)

__all__ = ["InvalidSetting", "Settings", "SettingsError", "load"]


class SettingsError(Exception):
    """
    Settings with which the process must not start.

    Attributes:
        invalid: All invalid settings.
    """

    def __init__(self, invalid: list[InvalidSetting]) -> None:
        super().__init__("\n".join(str(setting) for setting in invalid))
        self.invalid = invalid


def load(environ: Mapping[str, str]) -> Settings:
    """
    Read the settings: variables take precedence over the TOML file, and that over defaults.

    Raises:
        SettingsError: At least one setting is invalid.
    """
    toml = sources.read_toml(environ.get(sources.CONFIG))
    variables = sources.read_environment(environ, sources.variables_of(Settings))
    values = sources.merge(toml.values, variables.values)
    invalid = [*variables.invalid, *toml.invalid]
    fields = {*variables.invalid_fields}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for detail in _causes(error):
            fields.add(str(detail["loc"][0]))
            name = _name_of(detail["loc"], variables, toml)
            invalid.append(InvalidSetting(name, _message(detail)))
        # The valid fields are still checked against each other, so that one run reports all.
        valid = {field: value for field, value in values.items() if field not in fields}
        settings = Settings.model_validate(valid)
    for location, message in conflicts(settings, fields):
        invalid.append(InvalidSetting(_name_of(location, variables, toml), message))
    config = environ.get(sources.CONFIG)
    if not config and fields.isdisjoint({"environment", "database_url"}) and _is_astray(settings):
        message = _RELATIVE if "database_url" in values else _NO_DATABASE
        invalid.append(InvalidSetting(_name_of(("database_url",), variables, toml), message))
    if settings.environment == "production" and environ.get("FLASK_DEBUG", "0") not in {"", "0"}:
        invalid.append(InvalidSetting("FLASK_DEBUG", "exposes internals: unset it"))
    if invalid:
        raise SettingsError(invalid)
    return _with_absolute_paths(settings, Path(config).parent if config else Path())


def _is_astray(settings: Settings) -> bool:
    """Return whether the database depends on the current folder, which a command may not share."""
    path = settings.sqlite_path
    return settings.environment == "production" and path is not None and not path.is_absolute()


def _with_absolute_paths(settings: Settings, folder: Path) -> Settings:
    """Return the settings with the absolute paths of the SQLite file and of the issuers' keys."""
    issuers = tuple(
        issuer.model_copy(update={"public_keys_file": (folder / file).absolute()})
        if (file := issuer.public_keys_file)
        else issuer
        for issuer in settings.issuers
    )
    absolute: dict[str, object] = {"issuers": issuers}
    if settings.sqlite_path is not None:
        path = (folder / settings.sqlite_path).absolute()
        absolute["database_url"] = SecretStr(f"sqlite:///{path}")
    return settings.model_copy(update=absolute)


def _causes(error: ValidationError) -> Iterator[ErrorDetails]:
    """Yield the root errors."""
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        location = detail["loc"]
        follows = detail["type"] == "default_factory_not_called" or (
            # pydantic does not count invalid items of a list.
            detail["type"] == "too_short"
            and any(other["loc"][:-1] == location for other in details)
        )
        if not follows:
            yield detail


def _name_of(location: Location, variables: SourceValues, toml: SourceValues) -> str:
    """Return the name that the operator wrote; for an absent value, its variable."""
    for length in range(len(location), 0, -1):
        name = variables.names.get(location[:length])
        if name is not None:
            return sources.dotted(name, location[length:])
    if not sources.contains(toml.values, location):
        for variable in sources.variables_of(Settings):
            if variable.path == location:
                return variable.name
    return sources.dotted("", location)


def _message(detail: ErrorDetails) -> str:
    location = detail["loc"]
    match detail["type"]:
        case "extra_forbidden":
            known = [".".join(variable.path) for variable in sources.variables_of(Settings)]
            siblings = sources.members_at(Settings, location[:-1])
            return sources.unknown_name(str(location[-1]), siblings, known)
        case "missing":
            description = sources.members_at(Settings, location[:-1])[str(location[-1])]
            return f"is missing: {description}"
        case "value_error":
            return str(detail["ctx"]["error"])
    return detail["msg"].replace("Input should", "must")
