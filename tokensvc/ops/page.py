"""The HTML pages `/docs` and `/dev/`, without scripts and without content of other hosts."""

import base64
import hashlib
import json
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tokensvc.ops.contract import contract, resolve

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_STYLE = (_TEMPLATES / "docs.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def page() -> bytes:
    """Return the page of the contract, rendered once."""
    template = _environment().get_template("docs.html")
    return template.render(contract=contract(), style=_style()).encode()


def development_page(guide: str) -> bytes:
    """
    Return the page of `/dev/`.

    Args:
        guide: Text that `make run` printed: paragraphs, and commands that are indented.
    """
    parts = [part for part in re.split(r"\n\s*\n", guide.strip("\n")) if part.strip()]
    blocks = [(part.startswith("  "), textwrap.dedent(part).strip()) for part in parts]
    template = _environment().get_template("development.html")
    return template.render(blocks=blocks, style=_style()).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        prose=_prose, inline=_inline, sample=_sample, kind=_kind, resolve=resolve, last=_last
    )
    return environment


def _style() -> Markup:
    return Markup(_STYLE)  # noqa: S704 - a file of this package


def _prose(text: str) -> Markup:
    """Render paragraphs that are separated by empty lines."""
    paragraphs = (_inline(part) for part in re.split(r"\n\s*\n", text.strip()))
    return Markup("\n").join(Markup("<p>{}</p>").format(part) for part in paragraphs)


def _inline(text: str) -> Markup:
    """Render `code` in a text."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def _sample(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _kind(schema: dict[str, Any]) -> str:
    """Return the type of a schema in words."""
    if "$ref" in schema:
        return _last(schema["$ref"])
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else kind
