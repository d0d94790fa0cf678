"""
Where settings come from: variables, files that hold one secret each, one TOML file.

Owns names and text: which variable is which setting, what is unknown and what was probably meant.
Whether a value is any good is up to the model. Nothing is raised here: every fault is collected, so
that an operator sees them all at once. No value is ever part of a fault.
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
"""Names the TOML file."""
FILE: Final = "_FILE"
_OF_THE_SDKS: dict[tuple[str, ...], str] = {
    ("stream", "api_key"): "STREAM_API_KEY",
    ("stream", "api_secret"): "STREAM_API_SECRET",
    ("stream", "base_url"): "STREAM_BASE_URL",
}
"""Settings whose variables have the names that Stream's SDKs read."""
_SERVICE_LINK = re.compile(
    r"TOKENSVC(?:_[A-Z0-9_]+)?_"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
"""Kubernetes sets these in every pod beside a Service whose name begins with `tokensvc`."""

Location: TypeAlias = tuple[str | int, ...]
"""Where a value stands, as pydantic says it: `("issuers", 0, "audience")`."""


@dataclass(frozen=True, slots=True)
class InvalidSetting:
    """
    One thing that is wrong.

    Attributes:
        setting: Its name as the operator wrote it: a variable, or a path in the TOML file.
        message: What would be right. Holds no value.
    """

    setting: str
    message: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.message}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A setting that a variable can hold."""

    path: tuple[str, ...]
    variable: str
    is_secret: bool
    is_list: bool


@dataclass(slots=True)
class SourceValues:
    """
    What one kind of source gives.

    Attributes:
        values: Nested as in the model.
        names: Of each value, as it was written.
        faults: What could not be read.
        broken: The top-level fields that those are about.
    """

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[Location, str] = field(default_factory=dict)
    faults: list[InvalidSetting] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def put(self, leaf: Leaf, name: str, value: Any) -> None:
        """Take a value under the name that it came by."""
        table = self.values
        for section in leaf.path[:-1]:
            table = table.setdefault(section, {})
        table[leaf.path[-1]] = value
        self.names[leaf.path] = name

    def fail(self, leaf: Leaf, name: str, message: str) -> None:
        """Take a fault instead of a value."""
        self.faults.append(InvalidSetting(name, message))
        self.broken.add(leaf.path[0])


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Give every setting of a model that has a variable of its own."""
    for name, info in model.model_fields.items():
        here = (*path, name)
        kinds = set(_kinds(info.annotation))
        section = next((kind for kind in kinds if _is_model(kind)), None)
        if section is not None and tuple not in kinds:
            yield from leaves(section, here)
        else:
            yield Leaf(here, _variable(here), SecretStr in kinds, bool({tuple, dict} & kinds))


def members_at(model: type[BaseModel], location: Location) -> dict[str, str]:
    """Give the names that are known at a place, and what they mean."""
    for step in location:
        if isinstance(step, str):
            model = next(filter(_is_model, _kinds(model.model_fields[step].annotation)))
    return {name: info.description or "" for name, info in model.model_fields.items()}


def read_environment(environ: Mapping[str, str], known: Iterable[Leaf]) -> SourceValues:
    """Read the variables, and the files that `…_FILE` variables name. Empty means not set."""
    given = SourceValues()
    by_name = {leaf.variable: leaf for leaf in known}
    by_name_of_file = {leaf.variable + FILE: leaf for leaf in by_name.values() if leaf.is_secret}
    for name, text in environ.items():
        if not text or name == CONFIG:
            continue
        if name in by_name:
            _put_text(given, by_name[name], name, text)
        elif name in by_name_of_file:
            _put_file(given, by_name_of_file[name], name, Path(text), environ)
        elif name.upper().startswith(PREFIX) and not _is_service_link(name, text):
            known_names = [*by_name, *by_name_of_file, CONFIG]
            given.faults.append(InvalidSetting(name, unknown(name, known_names)))
    return given


def read_toml(path: str | None) -> SourceValues:
    """Read the TOML file, if one is named."""
    given = SourceValues()
    if not path:
        return given
    try:
        with Path(path).open("rb") as file:
            given.values = tomllib.load(file)
    except OSError as error:
        given.faults.append(InvalidSetting(CONFIG, f"the file cannot be read: {error.strerror}"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8"
        given.faults.append(InvalidSetting(CONFIG, f"the file is no TOML: {reason}"))
    return given


def unknown(name: str, *known: Iterable[str]) -> str:
    """Say that nothing has this name, and what was probably meant; the nearer names first."""
    meant: dict[str, str] = {}
    for item in itertools.chain(*known):
        whole = item.upper().removeprefix(PREFIX)
        meant.setdefault(whole, item)
        meant.setdefault(re.split(r"__|\.", whole)[-1], item)
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), meant, n=1)
    return f"is unknown; did you mean {meant[near[0]]}?" if near else "is unknown"


def dotted(name: str, rest: Location) -> str:
    """Write a place as in `issuers[0].audience`."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)
    return (name + steps).removeprefix(".")


def holds(values: Any, location: Location) -> bool:
    """Tell whether the values reach to this place, or to the table around it."""
    for step in location[:-1]:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return False
    return len(location) > 1 or (isinstance(values, dict) and location[0] in values)


def _put_text(given: SourceValues, leaf: Leaf, name: str, text: str) -> None:
    if not leaf.is_list:
        given.put(leaf, name, text)
        return
    try:
        given.put(leaf, name, json.loads(text))
    except (ValueError, RecursionError):
        given.fail(leaf, name, 'is no JSON: write a list, such as ["one", "two"]')


def _put_file(
    given: SourceValues, leaf: Leaf, name: str, path: Path, environ: Mapping[str, str]
) -> None:
    if environ.get(leaf.variable):
        given.fail(leaf, name, f"is set beside {leaf.variable}: keep one of them")
        return
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        given.fail(leaf, name, f"the file cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        given.fail(leaf, name, "the file is no UTF-8 text")
    else:
        if not text:
            given.fail(leaf, name, "the file is empty")
        elif leaf.is_list and not text.startswith("["):
            given.put(leaf, name, text.split())
        else:
            _put_text(given, leaf, name, text)


def _is_service_link(name: str, text: str) -> bool:
    # NAME_PORT is a setting that somebody might invent, so it is known by its value.
    return _SERVICE_LINK.fullmatch(name) is not None or (
        name.endswith("_PORT") and text.startswith(("tcp://", "udp://", "sctp://"))
    )


def _variable(path: tuple[str, ...]) -> str:
    return _OF_THE_SDKS.get(path) or PREFIX + "__".join(path).upper()


def _kinds(annotation: Any) -> Iterator[Any]:
    """Give the types that an annotation is made of: of `tuple[str, ...] | None` tuple and str."""
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
