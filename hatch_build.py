"""Adds an SBOM to the wheel (PEP 770): its content, and the packages that were tested with it."""

import json
import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PIN = re.compile(r"^([a-z0-9.-]+)==([^ \n]+)(.*(?:\n .*)*)", re.MULTILINE)
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
