"""The deployment examples are restricted and have probes, and their settings load."""

import re
import shlex
import tomllib

import pytest
import yaml

from testing.command_line import run_command
from testing.service import ROOT
from tests.docs.dockerfile import stages
from tests.docs.pages import README, blocks
from tokensvc.config.loader import load

DEPLOY = ROOT / "deploy"
SECRET_SETTINGS = ("STREAM_API_SECRET", "TOKENSVC_DATABASE_URL", "TOKENSVC_ENCRYPTION_KEYS")


def manifests():
    return [
        manifest
        for path in sorted((DEPLOY / "k8s").glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text())
    ]


def pods():
    """Return the pods, with their kind as ID."""
    return [
        pytest.param(manifest["spec"]["template"]["spec"], id=manifest["kind"])
        for manifest in manifests()
        if "template" in manifest.get("spec", {})
    ]


def manifest_of(kind):
    (found,) = [manifest for manifest in manifests() if manifest["kind"] == kind]
    return found


@pytest.mark.sec(62)
@pytest.mark.parametrize("pod", pods())
def test_pod_is_restricted(pod):
    """No root, no writable root file system, no capability, no cluster token."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


@pytest.mark.sec(25, 62)
@pytest.mark.parametrize("pod", pods())
def test_pod_reads_secrets_from_files(pod):
    (container,) = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name in SECRET_SETTINGS:
        assert name not in variables
        assert variables[f"{name}_FILE"].startswith(mounts["secrets"])
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["secrets"]["secret"]["secretName"] == "tokensvc"
    assert set(mounts) == set(volumes)
    assert not [manifest for manifest in manifests() if manifest["kind"] == "Secret"]


def test_deployment_has_probes():
    """The readiness probe keeps the pods while only a part is away that all of them share."""
    (container,) = manifest_of("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    for probe, path in (
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz/instance"),
    ):
        request = container[probe]["httpGet"]
        assert request["path"] == path
        assert request["port"] in ports
    selector = manifest_of("Deployment")["spec"]["selector"]["matchLabels"]
    assert manifest_of("Service")["spec"]["selector"] == selector
    assert manifest_of("Deployment")["spec"]["template"]["metadata"]["labels"] == selector
    assert {port["targetPort"] for port in manifest_of("Service")["spec"]["ports"]} <= ports


def test_settings_of_the_manifests_load(tmp_path):
    written = manifest_of("ConfigMap")["data"]["tokensvc.toml"].replace("your-stream-key", "key-1")
    (tmp_path / "tokensvc.toml").write_text(written)
    secrets = {
        "STREAM_API_SECRET": "s" * 40,
        "TOKENSVC_DATABASE_URL": "postgresql://tokensvc:password@postgres/tokensvc",
        "TOKENSVC_ENCRYPTION_KEYS": '["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]',
    }
    environ = {"TOKENSVC_CONFIG": str(tmp_path / "tokensvc.toml")}
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    settings = load(environ)
    assert settings.environment == "production"
    assert settings.bind == "0.0.0.0:8000"
    assert tomllib.loads(written)["public_url"] == settings.public_url


@pytest.mark.sec(25)
def test_git_ignores_the_secrets_that_the_compose_files_name():
    """Their first lines say how to write these files, in a folder that git tracks."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for path in DEPLOY.glob("compose*.yaml"):
        for secret in yaml.safe_load(path.read_text())["secrets"].values():
            name = "/deploy/" + secret["file"].removeprefix("./")
            assert any(name == one or name.startswith(f"{one.rstrip('/')}/") for one in ignored)


def given_variables(command):
    """Return what `--env` sets in a shown command."""
    words = shlex.split(command)
    given = [words[at + 1] for at, word in enumerate(words) if word == "--env"]
    return {name: value for name, _, value in (one.partition("=") for one in given)}


def test_shown_container_has_users_of_a_provider():
    """Its whole environment is in the shown command, except the secret."""
    (command,) = [text for text in blocks(README, "console") if "docker run" in text]
    image = stages((ROOT / "Dockerfile").read_text())[-1].environ
    loaded = {name: image[name] for name in ("TOKENSVC_BIND", "TOKENSVC_DATABASE_URL")}
    given = given_variables(command) | {"STREAM_API_KEY": "k1", "STREAM_API_SECRET": "s" * 40}
    settings = load(loaded | given)
    assert settings.environment == "production"
    assert [issuer.name for issuer in settings.issuers] == ["firebase"]


def test_stopped_container_is_restored_with_the_shown_settings(tmp_path, migrated_sqlite_url):
    """Only its volume has the encryption key."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    (command,) = re.findall(r"`(docker run [^`]*tokensvc restore [^`]*)`", page)
    environ = {**given_variables(command), "TOKENSVC_DATABASE_URL": migrated_sqlite_url}
    commands = (["backup", "saved"], ["restore", "saved"], ["after-restore"])
    ended = [run_command(tmp_path, environ, *words) for words in commands]
    assert [one.code for one in ended] == [0, 0, 0], ended


def test_ingress_does_what_the_shipped_haproxy_does():
    """The tests of the balancers run that configuration."""
    ingress = manifest_of("Ingress")
    snippet = ingress["metadata"]["annotations"]["haproxy.org/backend-config-snippet"]
    shipped = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    assert {*snippet.splitlines()} <= {line.strip() for line in shipped.splitlines()}
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = manifest_of("Service")
    port = path["backend"]["service"]["port"]["name"]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert port in {port["name"] for port in service["spec"]["ports"]}
    assert f"https://{rule['host']}" in manifest_of("ConfigMap")["data"]["tokensvc.toml"]


@pytest.mark.sec(55)
def test_only_the_ingress_controller_reaches_the_port_that_trusts_its_addresses():
    """Metrics are for the monitoring namespace."""
    policy = manifest_of("NetworkPolicy")["spec"]
    labels = manifest_of("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    name = "kubernetes.io/metadata.name"
    allowed = {
        rule["ports"][0]["port"]: rule["from"][0]["namespaceSelector"]["matchLabels"][name]
        for rule in policy["ingress"]
    }
    assert allowed == {"http": "haproxy-controller", "metrics": "monitoring"}
