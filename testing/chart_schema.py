"""
Writes the settings into `deploy/helm/values.schema.json`. The rest of that file is written by hand.

Helm refuses values that do not match it, before it changes anything in the cluster.

Run by `make contract`.
"""

import json
import re
from typing import Any

from testing.service import ROOT
from tokensvc.config.model import Settings
from tokensvc.config.sources import variables_of

PATH = ROOT / "deploy" / "helm" / "values.schema.json"
DECIDED = {
    ("environment",),
    ("unsafe_restored",),
    ("bind",),
    ("metrics", "bind"),
    ("worker", "embedded"),
}
"""Settings that the chart decides, so that its values do not have them."""


def generated(text: str) -> str:
    """Return the schema of the values with the current settings and names of secrets."""
    schema = json.loads(text)
    properties = schema["properties"]
    secrets = sorted(one.name for one in variables_of(Settings) if one.is_secret)
    properties["secret"]["properties"]["keys"] |= {
        "properties": {name: {"$ref": "#/$defs/SecretKey"} for name in secrets},
        "additionalProperties": False,
    }
    model = _simple(Settings.model_json_schema())
    sections = model.pop("$defs")
    for variable in variables_of(Settings):
        if variable.is_secret or variable.path in DECIDED:
            _remove(model, sections, variable.path)
    by_hand = {name: value for name, value in schema["$defs"].items() if name == "SecretKey"}
    properties["settings"] = {**model, "required": ["public_url"]}
    used = set(re.findall(r"#/\$defs/(\w+)", json.dumps([properties, sections])))
    schema["$defs"] = by_hand | {name: sections[name] for name in sections if name in used}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _remove(model: dict[str, Any], sections: dict[str, Any], path: tuple[str, ...]) -> None:
    """Remove a setting, and its section if nothing is left in it."""
    name, *rest = path
    if rest:
        section = sections[model["properties"][name]["$ref"].rpartition("/")[2]]
        del section["properties"][rest[0]]
        if section["properties"]:
            return
    del model["properties"][name]


def _simple(schema: Any) -> Any:
    """Return the schema without titles and without `null`, with which Helm removes a value."""
    if isinstance(schema, list):
        return [_simple(item) for item in schema if item != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: _simple(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str)) and value is not None
    }
    match kept.get("anyOf"):
        case [only]:
            del kept["anyOf"]
            return {**only, **kept}
    return kept


def main() -> None:
    """Write the schema."""
    PATH.write_text(generated(PATH.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
