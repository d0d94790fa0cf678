"""
The HTML pages `/docs` and `/dev/`, without content of other hosts.

`/docs` is made here and not by a known renderer: Redoc, Elements and Scalar are scripts of 1.1, 2.4
and 3.6 MB that insert styles and show nothing without a script. This page has 0.4 MB with the
contract, and its policy forbids every script and every style but its own.
"""

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
from tokensvc.ops.curl_lines import curl_line
from tokensvc.ops.health import Readiness

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_STYLE = (_TEMPLATES / "docs.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_SCRIPT = (_TEMPLATES / "development.js").read_text("utf-8")
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='8' fill='%231d5fd1'/%3E"
    "%3Cpath d='M9 10h14v9H15l-5 4v-4H9z' fill='%23fff'/%3E%3C/svg%3E"
)

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DEVELOPMENT_POLICY = (
    f"{CONTENT_SECURITY_POLICY}; script-src 'sha256-{_SCRIPT_HASH}'; connect-src 'self'"
)


@cache
def page() -> bytes:
    """Return the page of the contract, rendered once."""
    template = _environment().get_template("docs.html")
    document = contract()
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups = [
        (tag, [found for found in operations if tag["name"] in found[2]["tags"]])
        for tag in document["tags"]
    ]
    return template.render(contract=document, groups=groups, style=_style(), icon=_ICON).encode()


def development_page(
    guide: str, found: Readiness, *, has_accounts: bool, placeholder: str
) -> bytes:
    """
    Return the page of `/dev/`.

    Args:
        guide: Text that `make run` printed: paragraphs, commands that are indented, and a QR code.
        found: State of the service.
        has_accounts: Whether users can sign in with a password.
        placeholder: API key whose tokens Stream refuses.
    """
    parts = [part for part in re.split(r"\n\s*\n", guide.strip("\n")) if part.strip()]
    blocks = [(_kind_of_part(part), textwrap.dedent(part).strip()) for part in parts]
    template = _environment().get_template("development.html")
    return template.render(
        blocks=blocks,
        found=found,
        has_accounts=has_accounts,
        placeholder=placeholder,
        style=_style(),
        script=Markup(_SCRIPT),  # noqa: S704 - a file of this package
        icon=_ICON,
    ).encode()


def _kind_of_part(part: str) -> str:
    if set(part) <= set("█▀▄ \n"):
        return "qr"
    return "command" if part.startswith("  ") else "text"


def _light_modules(text: str) -> str:
    """Return the light modules of a QR code as an SVG path."""
    return "".join(
        f"M{column} {2 * row + half}h1v1h-1z"
        for row, line in enumerate(text.splitlines())
        for column, character in enumerate(line)
        for half in (0, 1)
        if character in ("█", "▀▄"[half])
    )


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
        prose=_prose,
        inline=_inline,
        sample=_sample,
        kind=_kind,
        resolve=resolve,
        last=_last,
        breakable=_breakable,
        curl=curl_line,
        light_modules=_light_modules,
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


def _breakable(path: str) -> Markup:
    """Render a path that may continue on the next line after a slash."""
    return Markup("/<wbr>").join(path.split("/"))


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _kind(schema: dict[str, Any]) -> Markup:
    """Return the type of a schema in words, with a link to what the page describes."""
    if "$ref" in schema:
        name = _last(schema["$ref"])
        is_described = "properties" in resolve(schema)
        return Markup('<a href="#{0}">{0}</a>').format(name) if is_described else escape(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_kind(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return escape(repr(schema["const"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return Markup("list of {}").format(_kind(schema["items"]))
    return escape(" or ".join(kind) if isinstance(kind, list) else kind)
