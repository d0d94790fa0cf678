"""
Reads the sources of settings: variables, files with one secret each, and one TOML file.

Owns the names: which variable sets which field, and which known name is nearest to an unknown one.
It checks no values. It raises nothing: every invalid setting is collected, and its message contains
no value.
"""

import difflib
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

PREFIX: Final = "TOKENSVC_"
CONFIG: Final = "TOKENSVC_CONFIG"
"""Variable that contains the path of the TOML file."""
FILE: Final = "_FILE"
_SDK_NAMES: dict[tuple[str, ...], str] = {
    ("stream", "api_key"): "STREAM_API_KEY",
    ("stream", "api_secret"): "STREAM_API_SECRET",
    ("stream", "base_url"): "STREAM_BASE_URL",
}
"""Variables that Stream's SDKs also read."""
_SERVICE_LINK = re.compile(
    r"TOKENSVC(?:_[A-Z0-9_]+)?_"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
"""Kubernetes sets these variables in every pod, for a Service whose name begins with `tokensvc`."""

Location: TypeAlias = tuple[str | int, ...]
"""Path of a value as pydantic gives it: `("issuers", 0, "audience")`."""


@dataclass(frozen=True, slots=True)
class InvalidSetting:
    """
    A setting that is wrong.

    Attributes:
        setting: Name that the operator wrote: a variable, or a path in the TOML file.
        message: Text that says what would be valid, without the value.
    """

    setting: str
    message: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.message}"


@dataclass(frozen=True, slots=True)
class Variable:
    """
    A variable of the environment.

    Attributes:
        path: Field that it sets: `("token", "ttl")`.
    """

    name: str
    path: tuple[str, ...]
    is_secret: bool
    is_list: bool


@dataclass(slots=True)
class SourceValues:
    """
    The content of one kind of source.

    Attributes:
        values: Values, nested as in the model.
        names: Names of the values, as the operator wrote them.
        invalid: Settings that could not be read.
        invalid_fields: Top-level fields of the model that contain those.
    """

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[Location, str] = field(default_factory=dict)
    invalid: list[InvalidSetting] = field(default_factory=list)
    invalid_fields: set[str] = field(default_factory=set)

    def add(self, variable: Variable, name: str, value: Any) -> None:
        """Add the value of a variable or of its file."""
        table = self.values
        for section in variable.path[:-1]:
            table = table.setdefault(section, {})
        table[variable.path[-1]] = value
        self.names[variable.path] = name

    def add_invalid(self, variable: Variable, name: str, message: str) -> None:
        """Record why a variable or its file has no value."""
        self.invalid.append(InvalidSetting(name, message))
        self.invalid_fields.add(variable.path[0])


def variables_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Yield the variable of every field of a model that can have one."""
    for name, info in model.model_fields.items():
        field_path = (*path, name)
        kinds = set(_kinds(info.annotation))
        section = next(filter(_is_model, kinds), None)
        if section is not None and tuple not in kinds:
            yield from variables_of(section, field_path)
        else:
            variable = _SDK_NAMES.get(field_path) or PREFIX + "__".join(field_path).upper()
            yield Variable(variable, field_path, SecretStr in kinds, bool({tuple, dict} & kinds))


def members_at(model: type[BaseModel], location: Location) -> dict[str, str]:
    """Return the names of the fields at a location, with their descriptions."""
    for step in location:
        if isinstance(step, str):
            model = next(filter(_is_model, _kinds(model.model_fields[step].annotation)))
    return {name: info.description or "" for name, info in model.model_fields.items()}


def read_environment(environ: Mapping[str, str], known: Iterable[Variable]) -> SourceValues:
    """Read the variables and the files of `…_FILE` variables. An empty variable counts as unset."""
    source = SourceValues()
    by_name = {variable.name: variable for variable in known}
    by_file_name = {name + FILE: found for name, found in by_name.items() if found.is_secret}
    for name, text in environ.items():
        if not text or name == CONFIG:
            continue
        if name in by_name:
            _add_text(source, by_name[name], name, text)
        elif name in by_file_name:
            _add_file(source, by_file_name[name], name, Path(text), environ)
        elif name.upper().startswith(PREFIX) and not _is_service_link(name, text):
            message = unknown_name(name, [*by_name, *by_file_name, CONFIG])
            source.invalid.append(InvalidSetting(name, message))
    return source


def read_toml(path: str | None) -> SourceValues:
    """Read the TOML file, if a path is given."""
    source = SourceValues()
    if not path:
        return source
    try:
        with Path(path).open("rb") as file:
            source.values = tomllib.load(file)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
    except tomllib.TOMLDecodeError as error:
        message = f"the file is not valid TOML: {error}"
    except UnicodeDecodeError:
        message = "the file is not valid TOML: not UTF-8"
    else:
        return source
    source.invalid.append(InvalidSetting(CONFIG, message))
    return source


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values, taking those of `upper` where both have one."""
    merged = dict(lower)
    for name, value in upper.items():
        table = merged.get(name)
        are_tables = isinstance(table, dict) and isinstance(value, dict)
        merged[name] = merge(table or {}, value) if are_tables else value
    return merged


def unknown_name(name: str, *known: Iterable[str]) -> str:
    """Return the message for an unknown name, with the most similar of the known ones."""
    candidates: dict[str, str] = {}
    for item in itertools.chain(*known):
        whole = item.upper().removeprefix(PREFIX)
        candidates.setdefault(whole, item)
        candidates.setdefault(re.split(r"__|\.", whole)[-1], item)
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), candidates, n=1)
    return f"is unknown; did you mean {candidates[near[0]]}?" if near else "is unknown"


def dotted(name: str, rest: Location) -> str:
    """Return a name followed by a path, as in `issuers[0].audience`."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)
    return (name + steps).removeprefix(".")


def contains(values: Any, location: Location) -> bool:
    """Return whether the values contain the table around a location, or the top-level value."""
    for step in location[:-1]:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return False
    return len(location) > 1 or (isinstance(values, dict) and location[0] in values)


def _add_text(source: SourceValues, variable: Variable, name: str, text: str) -> None:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        message = "is enclosed in quotes: remove them (`docker --env-file` keeps them)"
        source.add_invalid(variable, name, message)
        return
    if not variable.is_list:
        source.add(variable, name, text)
        return
    try:
        source.add(variable, name, json.loads(text))
    except (ValueError, RecursionError):
        message = 'is not valid JSON: write a list, such as ["one", "two"]'
        source.add_invalid(variable, name, message)


def _add_file(
    source: SourceValues, variable: Variable, name: str, path: Path, environ: Mapping[str, str]
) -> None:
    if environ.get(variable.name):
        source.add_invalid(variable, name, f"is set in addition to {variable.name}: remove one")
        return
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        source.add_invalid(variable, name, f"the file cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        source.add_invalid(variable, name, "the file is not UTF-8 text")
    else:
        if not text:
            source.add_invalid(variable, name, "the file is empty")
        elif variable.is_list and not text.startswith("["):
            source.add(variable, name, text.split())
        else:
            _add_text(source, variable, name, text)


def _is_service_link(name: str, text: str) -> bool:
    # An operator could also write a NAME_PORT by mistake, so its value decides.
    return _SERVICE_LINK.fullmatch(name) is not None or (
        name.endswith("_PORT") and text.startswith(("tcp://", "udp://", "sctp://"))
    )


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types in an annotation: for `tuple[str, ...] | None`, tuple and str."""
    origin = get_origin(annotation)
    if origin is None:
        yield annotation
        return
    if origin not in {Union, UnionType, Annotated}:
        yield origin
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
