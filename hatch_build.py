"""
Completes what hatchling builds: an SBOM in the wheel, and a description whose links work anywhere.

The SBOM (PEP 770) lists the content, and the packages that were tested with it.
"""

import json
import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_PIN = re.compile(r"^([a-z0-9.-]+)==([^ \n]+)(.*(?:\n .*)*)", re.MULTILINE)
_RELATIVE = re.compile(r'(\]\(|src(?:set)?=")(?![a-z]+:|#)([^)"]+)')
_IMAGES = (".png", ".svg")
_PASSWORDS = {
    "type": "data",
    "bom-ref": "common_passwords.txt.gz",
    "name": "passwords of zxcvbn",
    "version": "4.5.0",
    "licenses": [{"license": {"id": "MIT"}}],
}


class SbomHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the SBOM next to the wheel, which then contains it."""
        if self.target_name != "wheel" or version != "standard":
            return
        lock = Path(self.root, "requirements.lock").read_text("utf-8")
        path = Path(self.directory, f"tokensvc-{self.metadata.version}.cdx.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sbom(lock, self.metadata.version), indent=1) + "\n", "utf-8")
        build_data["sbom_files"].append(str(path))


class ReadmeHook(MetadataHookInterface):
    """Runs before the metadata are read."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Make README.md the description. Its links are absolute: an index has no other file."""
        text = Path(self.root, "README.md").read_text("utf-8")
        text = absolute_links(text, metadata["urls"]["Source"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute_links(text: str, repository: str) -> str:
    """Return a page in Markdown with the URL of each linked file on GitHub."""

    def absolute(link: re.Match[str]) -> str:
        start, path = link.groups()
        return f"{start}{repository}/{'raw' if path.endswith(_IMAGES) else 'blob'}/main/{path}"

    return _RELATIVE.sub(absolute, text)


def sbom(lock: str, version: str) -> dict[str, Any]:
    """
    Return an SBOM in the format CycloneDX.

    Args:
        lock: Lock file of uv, which names in comments what needs each package.
        version: Version of tokensvc.
    """
    pins = [("tokensvc", version, ""), *(found.groups() for found in _PIN.finditer(lock))]
    packages = {name: _package(name, pinned) for name, pinned, _ in pins}
    needs: dict[str, list[str]] = {name: [] for name in packages}
    for name, _, comments in pins:
        for dependent in re.findall(r"# +(?:via +)?([a-z0-9.-]+)", comments):
            if dependent in needs:
                needs[dependent].append(packages[name]["bom-ref"])
    own = packages.pop("tokensvc")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**own, "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": [_PASSWORDS, *packages.values()],
        "dependencies": [
            {"ref": {**packages, "tokensvc": own}[name]["bom-ref"], "dependsOn": found}
            for name, found in needs.items()
        ],
    }


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
