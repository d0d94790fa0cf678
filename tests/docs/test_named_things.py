"""Commands, options, routes, settings and tests that the text of a page names exist."""

import ast
import functools
import re
import shlex

import click
import pytest
import yaml

from testing.service import ROOT
from tests.docs.pages import FOR_AGENTS, PAGES, name
from tokensvc.cli import main
from tokensvc.config.loader import Settings
from tokensvc.config.sources import variables_of

ALL_PAGES = [*PAGES, *FOR_AGENTS]
WITH_COMMANDS = [*ALL_PAGES, ROOT / "SECURITY.md"]


@functools.cache
def routes():
    paths = yaml.safe_load((ROOT / "openapi.yaml").read_text())["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def unknown_part(words):
    """Return the first word that is neither a command nor an option of its command."""
    command = main
    for word in words:
        if word in {">>", ">", "|"}:
            return None
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(click.Context(command), word)
            if command is None:
                return word
        elif word.startswith("--"):
            options = {option for parameter in command.params for option in parameter.opts}
            if word not in options | {"--help"}:
                return word
    return None


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_named_commands_and_options_exist(page):
    for line in re.findall(r"`tokensvc (\w[^`]*)`", page.read_text()):
        assert unknown_part(shlex.split(line)) is None, line


@pytest.mark.parametrize("line", ["clients make", "doctor --tokens -", "users suspend x --why y"])
def test_unknown_command_or_option_is_found(line):
    assert unknown_part(shlex.split(line)) is not None


def exists(method, path):
    """Return whether the contract has a route. An ID in the path matches any parameter."""
    segments = path.split("/")
    return any(
        known_method == method
        and len(known.split("/")) == len(segments)
        and all(
            segment == part or part.startswith("{")
            for segment, part in zip(segments, known.split("/"), strict=True)
        )
        for known_method, known in routes()
    )


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_named_routes_exist(page):
    for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]*)", page.read_text()):
        assert exists(method, path), f"{method} {path}"


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_named_settings_exist(page):
    members = {"stream.state"}  # of a response
    settings = members | {".".join(variable.path) for variable in variables_of(Settings)}
    sections = "|".join({setting.partition(".")[0] for setting in settings if "." in setting})
    for setting in re.findall(rf"`((?:{sections})\.[a-z_]+)[` ]", page.read_text()):
        assert setting in settings, setting


def functions(path):
    """Return the names of a file's functions."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_named_tests_exist(page):
    for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert test in functions(path), f"{path}::{test}"
