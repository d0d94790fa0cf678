"""Helm, and the schemas of Kubernetes, from packages that `requirements-kubernetes.lock` pins."""

import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from testing.service import ROOT

CHART = ROOT / "deploy" / "helm"
_LOCK = ROOT / "requirements-kubernetes.lock"


@dataclass(frozen=True, slots=True)
class Helm:
    """
    Helm with the schemas of Kubernetes.

    Attributes:
        program: Path of Helm.
        schemas: Path of the archive with the schemas.
    """

    program: Path
    schemas: Path

    def run(self, command: str, values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run `helm template` or `helm lint` for the chart with these values."""
        arguments = ["r", CHART] if command == "template" else [CHART]
        return subprocess.run(
            [self.program, command, *arguments, "--values", "-"],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
        )

    def render(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the objects of the chart with these values."""
        ended = self.run("template", values)
        assert ended.returncode == 0, ended.stderr
        return [*filter(None, yaml.safe_load_all(ended.stdout))]

    def faults(self, version: str, manifest: Mapping[str, Any]) -> list[str]:
        """Return what the strict schema of a version of Kubernetes refuses in an object."""
        folder = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict"
        *group, api = manifest["apiVersion"].split("/")
        words = (manifest["kind"], *(name.partition(".")[0] for name in group), api)
        with zipfile.ZipFile(self.schemas) as archive:

            def read(name: str) -> Any:
                return json.loads(archive.read(f"{folder}/{name.rpartition('/')[2]}"))

            schema = read("-".join(words).lower() + ".json")
            validator = jsonschema_rs.validator_for(
                schema, retriever=read, base_uri="json-schema:///"
            )
            return [error.message for error in validator.iter_errors(manifest)]


def download(folder: Path) -> Helm:
    """Download Helm and the schemas. Without a network the test is skipped, but fails in CI."""
    end = pytest.fail if os.environ.get("CI") else pytest.skip
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the package has Helm for Linux on x86-64 only")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    ended = subprocess.run(
        [*pip, "-r", _LOCK, "-d", folder], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        end(f"cannot download Helm: {ended.stderr[-300:]}")
    (layer,) = folder.glob("aws_cdk*.whl")
    (schemas,) = folder.glob("kubernetes_validate*.whl")
    with zipfile.ZipFile(layer) as wheel:
        (inner,) = (name for name in wheel.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as package:
            content = package.extractfile("package/lib/layer.zip")
            assert content is not None
            with zipfile.ZipFile(io.BytesIO(content.read())) as program:
                path = Path(program.extract("helm/helm", folder))
    path.chmod(0o755)
    return Helm(path, schemas)
