"""
README's table of settings says what the model says.

`python -m tests.docs.test_settings_table` prints the rows that the table must have.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tokensvc.config import sources
from tokensvc.config.loader import Settings, json_schema

README = Path(__file__).resolve().parent.parent.parent / "README.md"
HEAD = "| setting | default | meaning |"


def expected_rows() -> list[str]:
    """Give the table's rows from the JSON Schema: every setting, tables flattened."""
    schema = json_schema()
    variables = {".".join(leaf.path): leaf.variable for leaf in leaves()}
    rows = []
    for name, member in members(schema, schema, ""):
        setting = f"`{name}`"
        if not variables.get(name, "TOKENSVC_").startswith("TOKENSVC_"):
            setting += f", `{variables[name]}`"
        rows.append(f"| {setting} | {default(member)} | {member['description']} |")
    return rows


def leaves() -> Iterator[sources.Leaf]:
    return sources.leaves(Settings)


def members(
    schema: Mapping[str, Any], table: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, member in table["properties"].items():
        inner = member.get("items", member).get("$ref", "").rpartition("/")[2]
        section = schema["$defs"].get(inner, {})
        if "properties" not in section:
            yield path + name, member
        elif "items" in member:
            yield path + name, member
            yield from members(schema, section, f"{path}{name}[].")
        else:
            yield from members(schema, section, f"{path}{name}.")


def default(member: Mapping[str, Any]) -> str:
    value = member.get("default")
    if value in (None, "", []):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def readme_rows() -> list[str]:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert HEAD in lines, f"README has no table of settings: {HEAD}"
    start = lines.index(HEAD) + 2
    end = next((n for n, line in enumerate(lines[start:], start) if not line.startswith("|")), None)
    return lines[start:end]


def test_readme_has_every_setting_with_its_default_and_meaning() -> None:
    """A setting that is added, renamed or changed is so in README, in the model's order."""
    assert readme_rows() == expected_rows()


def test_every_setting_is_explained() -> None:
    """Each row has a meaning, and stays one row."""
    for row in expected_rows():
        cells = row.strip("|").split(" | ")
        assert len(cells) == 3, row
        assert cells[2].strip(), row
        assert "\n" not in row


def test_every_variable_has_a_row() -> None:
    """The table and the variables that are read are of the same settings."""
    rows = "\n".join(expected_rows())
    for leaf in leaves():
        assert f"`{'.'.join(leaf.path)}`" in rows


@pytest.mark.parametrize(
    ("toml", "valid"),
    [
        ({}, True),
        ({"token": {"ttl": 600}, "issuers": [{"audience": ["chat"]}]}, True),
        ({"token": {"ttl": 5}}, False),
        ({"issuer": []}, False),
        ({"log": {"level": "loud"}}, False),
    ],
)
def test_schema_checks_a_toml_file(toml: Mapping[str, Any], valid: bool) -> None:
    """An editor that is given the schema finds what the service would refuse."""
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(toml) is valid


def test_schema_holds_no_secret() -> None:
    """Secrets are write-only and have no default but the path of the SQLite file."""
    assert "**" not in json.dumps(json_schema())


if __name__ == "__main__":
    print("\n".join([HEAD, "| --- | --- | --- |", *expected_rows()]))  # noqa: T201 - its purpose
