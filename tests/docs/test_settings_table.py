"""
The table of `docs/settings.md`, compared with the settings model.

`python -m tests.docs.test_settings_table` prints the table as it must be.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from testing.service import ROOT
from tokensvc.config.loader import Settings
from tokensvc.config.sources import variables_of

PAGE = ROOT / "docs" / "settings.md"
HEAD = "| setting | default | meaning |"


def expected_rows() -> list[str]:
    """Return one row per setting of the model."""
    schema = Settings.model_json_schema()
    variables = {".".join(variable.path): variable.name for variable in variables_of(Settings)}
    rows = []
    for name, member in members(schema, schema, ""):
        setting = f"`{name}`"
        if not variables.get(name, "TOKENSVC_").startswith("TOKENSVC_"):
            setting += f", `{variables[name]}`"
        rows.append(f"| {setting} | {default(member)} | {member['description']} |")
    return rows


def members(
    schema: Mapping[str, Any], table: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, member in table["properties"].items():
        (kind, *_) = member.get("anyOf", [member.get("items", member)])  # the first is not null
        inner = kind.get("$ref", "").rpartition("/")[2]
        section = schema["$defs"].get(inner, {})
        if "properties" not in section:
            yield path + name, member
        elif "description" in member:
            yield path + name, member
            yield from members(schema, section, f"{path}{name}{'[]' if 'items' in member else ''}.")
        else:
            yield from members(schema, section, f"{path}{name}.")


def default(member: Mapping[str, Any]) -> str:
    value = member.get("default")
    if value in (None, "", []):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def page_rows() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert HEAD in lines, f"the page has no table of settings: {HEAD}"
    start = lines.index(HEAD) + 2
    end = next((n for n, line in enumerate(lines[start:], start) if not line.startswith("|")), None)
    return lines[start:end]


def test_page_lists_every_setting_with_its_default_and_description() -> None:
    assert page_rows() == expected_rows()


def test_every_setting_has_a_description() -> None:
    for row in expected_rows():
        cells = row.strip("|").split(" | ")
        assert len(cells) == 3, row
        assert cells[2].strip(), row
        assert "\n" not in row


def test_every_variable_has_a_row() -> None:
    rows = "\n".join(expected_rows())
    for variable in variables_of(Settings):
        assert f"`{'.'.join(variable.path)}`" in rows


if __name__ == "__main__":
    print("\n".join([HEAD, "| --- | --- | --- |", *expected_rows()]))  # noqa: T201 - its purpose
