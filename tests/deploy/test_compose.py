"""The Compose files are valid and restricted, name what exists, and their settings load."""

import ipaddress
import json
import re
from importlib import resources

import jsonschema
import pytest
import yaml

from testing.service import ROOT
from tests.docs.dockerfile import stages
from tokensvc.config.loader import load

DEPLOY = ROOT / "deploy"
FILES = {path.name: yaml.safe_load(path.read_text()) for path in DEPLOY.glob("compose*.yaml")}
CLUSTER = FILES["compose.cluster.yaml"]
SERVICES = [
    pytest.param(file, service, id=f"{name}-{key}")
    for name, file in FILES.items()
    for key, service in file["services"].items()
]
OWN = [one for one in SERVICES if one.values[1]["image"] == "tokensvc"]
GIVEN = {"TOKENSVC_PUBLIC_URL": "https://tokens.example.com", "STREAM_API_KEY": "key"}
SECRETS = {
    "stream_api_secret": "s" * 40,
    "encryption_keys": json.dumps(["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]),
}


@pytest.mark.parametrize("name", FILES)
def test_compose_file_is_valid(name):
    """The schema is that of the Compose Specification."""
    folder = resources.files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads(folder.joinpath("compose-spec.json").read_text())
    jsonschema.validate(FILES[name], schema, jsonschema.validators.validator_for(schema))


@pytest.mark.sec(62)
@pytest.mark.parametrize(("file", "service"), SERVICES)
def test_container_is_restricted_and_its_log_is_rotated(file, service):
    assert file["services"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


@pytest.mark.parametrize(("file", "service"), SERVICES)
def test_container_names_what_exists(file, service):
    """Secrets and configurations are defined, and mounted files are in the repository."""
    for kind in ("secrets", "configs"):
        for named in service.get(kind, []):
            assert (named if isinstance(named, str) else named["source"]) in file[kind]
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        made_by_operator = source == "./tls"
        assert source in file["volumes"] or made_by_operator or (DEPLOY / source).exists()
    for network in service["networks"]:
        assert network in file["networks"]


@pytest.mark.sec(25, 55)
@pytest.mark.parametrize(("file", "service"), OWN)
def test_settings_of_a_container_load_and_trust_only_the_proxy(file, service, tmp_path):
    """The secrets are files. Two variables are required."""
    environment = service["environment"]
    assert set(re.findall(r"\$\{(\w+):\?", str(environment))) == GIVEN.keys()
    environ = {
        name: re.sub(r"\$\{(\w+)(?::[?-]([^}]*))?\}", lambda m: GIVEN.get(m[1], m[2]), value)
        for name, value in environment.items()
    }
    for name in (one for one in environ if one.endswith("_FILE")):
        secret = environ[name].removeprefix("/run/secrets/")
        assert secret in service["secrets"]
        (tmp_path / secret).write_text(SECRETS[secret])
        environ[name] = str(tmp_path / secret)
    image = stages((ROOT / "Dockerfile").read_text())[-1].environ
    settings = load({"TOKENSVC_DATABASE_URL": image["TOKENSVC_DATABASE_URL"], **environ})
    assert settings.public_url == GIVEN["TOKENSVC_PUBLIC_URL"]
    (proxy,) = [one for one in file["services"].values() if "443:443" in one.get("ports", [])]
    ((network, joined),) = proxy["networks"].items()
    assert settings.proxies.trusted == (f"{joined['ipv4_address']}/32",)
    (addresses,) = file["networks"][network]["ipam"]["config"]
    assert ipaddress.ip_address(joined["ipv4_address"]) in ipaddress.ip_network(addresses["subnet"])


def test_only_the_proxy_and_grafana_on_this_host_are_reached_from_outside():
    published = {
        port
        for file in FILES.values()
        for service in file["services"].values()
        for port in service.get("ports", [])
    }
    assert published == {"80:80", "443:443", "127.0.0.1:3000:3000"}


def test_nginx_of_the_cluster_has_the_addresses_of_the_instances():
    """It has the shipped list, with other addresses."""
    listed = CLUSTER["configs"]["instances"]["content"]
    shipped = (DEPLOY / "nginx" / "instances.conf").read_text()
    addresses = [
        CLUSTER["services"][name]["networks"]["front"]["ipv4_address"]
        for name in ("instance1", "instance2")
    ]
    for number, address in enumerate(addresses, start=1):
        shipped = shipped.replace(f"10.0.0.1{number}:", f"{address}:")
    assert listed.splitlines() == [line for line in shipped.splitlines() if line[0] != "#"]
