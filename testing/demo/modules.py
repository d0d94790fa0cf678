"""The npm packages of the page as modules that a browser can load, with their content unchanged."""

from pathlib import Path

_MODULES = {
    "stream-chat": "stream-chat/dist/esm/index.mjs",
    "axios": "axios/dist/esm/axios.js",
    "isomorphic-ws": "isomorphic-ws/browser.js",
    "linkifyjs": "linkifyjs/dist/linkify.mjs",
}
"""ES modules, by the name that `stream-chat` imports."""

_COMMON = {
    "base64-js": ("base64-js/index.js", "fromByteArray"),
    "form-data": ("form-data/lib/browser.js", None),
}
"""CommonJS modules, with the name that `stream-chat` imports; `None` for the default."""

NAMES = (*_MODULES, *_COMMON)


def source_of(packages: Path, name: str) -> str | None:
    """Return the source of a module by its name in `NAMES`, or `None`."""
    if name in _MODULES:
        return (packages / _MODULES[name]).read_text("utf-8")
    if name not in _COMMON:
        return None
    path, imported = _COMMON[name]
    source = (packages / path).read_text("utf-8")
    export = f"export const {imported} = module.exports.{imported};" if imported else ""
    return (
        "const module = { exports: {} };\n"
        f"(function (module, exports) {{\n{source}\n}})(module, module.exports);\n"
        f"export default module.exports;\n{export}\n"
    )
