"""The Helm chart and the plain manifests, with Helm and the schemas of Kubernetes."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from testing.chart_schema import PATH, generated
from testing.helm import Helm, download
from testing.service import ROOT
from tests.config.environments import KEY
from tokensvc.config.loader import load

VERSIONS = ("1.30", "1.37")
"""The first that the chart accepts, and the newest with a schema."""
VALUES = {"settings": {"public_url": "https://tokens.example", "stream": {"api_key": "k1"}}}
EVERYTHING = VALUES | {
    "monitoring": {"operator": True, "labels": {"release": "prometheus"}},
    "backup": {"claim": "backups", "image": "ghcr.io/an-owner/with-pg-dump:v1"},
    "auditExport": {"claim": "exports"},
    "pod": {"nodeSelector": {"disk": "fast"}},
}
SECRETS = {
    "STREAM_API_SECRET": "s" * 40,
    "TOKENSVC_DATABASE_URL": "postgresql://tokensvc:pass@db/tokensvc",
    "TOKENSVC_ENCRYPTION_KEYS": KEY,
    "TOKENSVC_REDIS_URL": "redis://cache:6379/0",
}


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return download(tmp_path_factory.mktemp("helm"))


def of_kind(objects: list[dict[str, Any]], kind: str, name: str = "r") -> dict[str, Any]:
    (found,) = (one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def test_schema_of_the_values_has_the_current_settings() -> None:
    """`make contract` writes it."""
    assert PATH.read_text("utf-8") == generated(PATH.read_text("utf-8"))


def test_objects_of_the_chart_match_the_schemas_of_kubernetes(helm: Helm) -> None:
    """The objects of the Prometheus Operator are not of Kubernetes itself."""
    assert helm.run("lint", EVERYTHING).returncode == 0
    objects = helm.render(EVERYTHING)
    operator = [one for one in objects if one["apiVersion"].startswith("monitoring.coreos.com")]
    assert Counter(one["kind"] for one in operator) == {"ServiceMonitor": 1, "PrometheusRule": 1}
    others = [one for one in objects if one not in operator]
    assert len(others) >= len(helm.render(VALUES))
    for version in VERSIONS:
        for one in others:
            assert helm.faults(version, one) == [], one["kind"]
    instances = of_kind(objects, "Deployment")
    instances["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["slip"] = {}
    assert helm.faults(VERSIONS[0], instances)
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text("utf-8"))
    assert of_kind(objects, "PrometheusRule")["spec"] == rules


def test_plain_manifests_match_the_schemas_of_kubernetes(helm: Helm) -> None:
    paths = sorted((ROOT / "deploy" / "k8s").glob("*.yaml"))
    objects = [one for path in paths for one in yaml.safe_load_all(path.read_text("utf-8")) if one]
    assert len(objects) >= len(paths)
    for one in objects:
        assert helm.faults(VERSIONS[-1], one) == [], one["kind"]


def test_values_of_the_page_are_accepted(helm: Helm) -> None:
    """Also without Redis."""
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    values = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    environs = []
    for secret in ({}, {"keys": {"TOKENSVC_REDIS_URL": None}}):
        instances = of_kind(helm.render(values | {"secret": secret}), "Deployment")
        (container,) = instances["spec"]["template"]["spec"]["containers"]
        environs.append({one["name"] for one in container["env"]})
    assert environs[0] - environs[1] == {"TOKENSVC_REDIS_URL_FILE"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        VALUES | {"settings": VALUES["settings"] | {"database_url": "postgresql://db/tokensvc"}},
        VALUES | {"settings": VALUES["settings"] | {"token": {"ttl": "an hour"}}},
        VALUES | {"settings": VALUES["settings"] | {"tokens": {}}},
        VALUES | {"ingress": {"className": "nginx"}},
        VALUES | {"backup": {"claim": "backups"}},
        VALUES | {"secret": {"keys": {"TOKENSVC_SECRET": "secret"}}},
    ],
    ids=["no URL", "secret", "type", "name", "ingress", "backup", "key"],
)
def test_values_that_cannot_work_are_refused(helm: Helm, values: dict[str, Any]) -> None:
    """Before anything changes in the cluster."""
    ended = helm.run("template", values)
    assert ended.returncode != 0
    assert "values don't meet the specifications of the schema" in ended.stderr


def test_pods_have_the_settings_of_the_values(helm: Helm, tmp_path: Path) -> None:
    """The service reads them from the variables and the mounted Secret."""
    issuer = {"name": "acme", "issuer": "https://id.example", "audience": ["chat"]}
    issuer["jwks_uri"] = "https://id.example/keys"
    settings = {**VALUES["settings"], "token": {"ttl": 600}, "issuers": [issuer]}
    objects = helm.render(EVERYTHING | {"settings": settings})
    for pod in (
        of_kind(objects, "Deployment"),
        of_kind(objects, "Deployment", "r-worker"),
        of_kind(objects, "Job", "r-migrate"),
    ):
        (container,) = pod["spec"]["template"]["spec"]["containers"]
        environ = {one["name"]: one["value"] for one in container["env"]}
        for name, path in list(environ.items()):
            if name.endswith("_FILE"):
                file = tmp_path / Path(path).name
                file.write_text(SECRETS[name.removesuffix("_FILE")])
                environ[name] = str(file)
        loaded = load(environ)
        assert (loaded.token.ttl, loaded.issuers[0].audience) == (600, ("chat",))
        assert loaded.public_url == "https://tokens.example"
        assert not loaded.worker.embedded


def test_metrics_are_reachable_only_from_the_namespace_of_prometheus(helm: Helm) -> None:
    objects = helm.render(VALUES | {"monitoring": {"namespace": "watch"}})
    rules = of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
    sources = {rule["ports"][0]["port"]: rule["from"] for rule in rules}
    labels = {"kubernetes.io/metadata.name": "watch"}
    assert sources["metrics"] == [{"namespaceSelector": {"matchLabels": labels}}]
    assert sources.keys() == {"http", "metrics"}


def test_migration_runs_before_each_installation_and_upgrade(helm: Helm) -> None:
    job = of_kind(helm.render(VALUES), "Job", "r-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate"]
