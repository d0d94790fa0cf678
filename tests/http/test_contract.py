"""`openapi.yaml` and the code say the same."""

import enum
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openapi_spec_validator
import pytest

from tests.client import check, resolve
from tests.live import settings_environ
from tokensvc import bootstrap, settings
from tokensvc.audit.rules import AuditEvent
from tokensvc.callers.routes import Me
from tokensvc.clients.routes import (
    AddClientSecretRequest,
    ChangeClientRequest,
    CreateClientRequest,
    NewClientSecret,
    NewServiceClient,
)
from tokensvc.clients.scopes import Scope
from tokensvc.clients.state import ClientSecret, ServiceClient
from tokensvc.core.errors import Code
from tokensvc.delivery.service import ProfileState
from tokensvc.delivery.state import StreamStatus
from tokensvc.http.acts import ActRequest
from tokensvc.http.problems import KINDS, Problem
from tokensvc.keys.routes import AddStreamKeyRequest, StreamKeyAct
from tokensvc.keys.rules import KeyState, StreamKeyInfo
from tokensvc.ops.contract import contract, contract_path
from tokensvc.ops.health import CheckResult, Readiness, State
from tokensvc.ops.routes import Health
from tokensvc.revocations.rules import HoldsUntil, RevocationKind
from tokensvc.revocations.state import AppAct, AppState, Revocation, UserAct, UserState
from tokensvc.tokens.routes import TokenResponse
from tokensvc.tokens.rules import TokenRequest

TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(TokenRequest, TokenResponse, Me, Problem, Code),
        *(Health, Readiness, CheckResult, State),
        *(ProfileState, StreamStatus, AuditEvent),
        *(UserState, UserAct, AppState, AppAct, Revocation, RevocationKind, HoldsUntil),
        *(ActRequest, AddStreamKeyRequest, KeyState, StreamKeyInfo, StreamKeyAct),
        *(Scope, ServiceClient, NewServiceClient, CreateClientRequest, ChangeClientRequest),
        *(ClientSecret, NewClientSecret, AddClientSecretRequest),
    )
}
NARROWER = {(Code.USER_SUSPENDED, 409), (Code.MALFORMED_REQUEST, 414)}
"""Statuses that a code has beside its usual one, where HTTP has a narrower one."""

ANNOTATIONS = {"title", "description", "example", "examples", "x-enum-descriptions"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in contract()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_is_valid() -> None:
    """The contract is OpenAPI 3.1."""
    openapi_spec_validator.validate(contract())


def test_routes_are_the_contracts(tmp_path: Path) -> None:
    """The URL map has the contract's paths and methods, no fewer and no more."""
    services = bootstrap.build(settings.load(settings_environ(tmp_path)))
    try:
        app = bootstrap.build_app(services)
    finally:
        services.close()
    mapped = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert mapped == {(path, method.upper()) for path, method, _ in operations()}


@pytest.mark.parametrize("name", sorted(contract()["components"]["schemas"]))
def test_schemas_are_the_codes_own(name: str) -> None:
    """Each schema is that of the type of its name: members, types, defaults, limits."""
    kind = TYPES[name]
    schemas = msgspec.json.schema(kind, ref_template="#/components/schemas/{name}")["$defs"]
    assert normal(contract()["components"]["schemas"][name]) == normal(schemas[name])


def test_no_type_is_left_out() -> None:
    """Each type that a body is made of has its schema."""
    assert TYPES.keys() == contract()["components"]["schemas"].keys()


def normal(schema: Any) -> Any:
    """Bring a schema into one form: without annotations, alternatives of types as a list."""
    if isinstance(schema, list):
        return [normal(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: normal(value) for name, value in schema.items() if name not in ANNOTATIONS}
    if "properties" in schema:
        plain["properties"] = {name: normal(v) for name, v in schema["properties"].items()}
        plain["required"] = sorted(plain.get("required", []))
    if "anyOf" in plain and all("type" in choice for choice in plain["anyOf"]):
        choices = plain.pop("anyOf")
        plain["type"] = sorted(choice.pop("type") for choice in choices)
        for choice in choices:
            plain.update(choice)
    if isinstance(plain.get("type"), list):
        plain["type"] = sorted(plain["type"])
    if "enum" in plain:
        plain["enum"] = sorted(plain["enum"])
        plain.pop("type", None)
    return plain


def test_codes_are_the_contracts() -> None:
    """The codes are those of the contract, each with what to do."""
    schema = contract()["components"]["schemas"]["Code"]
    assert set(schema["enum"]) == set(Code)
    assert schema["x-enum-descriptions"].keys() == set(Code)


def test_examples_are_true() -> None:
    """Each example is what its schema says, and a problem's is what the code would write."""
    seen = 0
    for path, method, operation in operations():
        answers = [resolve(response) for response in operation["responses"].values()]
        for holder in (operation.get("requestBody", {}), *answers):
            for media_type, media in holder.get("content", {}).items():
                for example in _examples(media):
                    seen += 1
                    check(example, media["schema"], f"{method} {path} {media_type}")
                    if media_type == "application/problem+json":
                        status, title = KINDS[example["code"]]
                        statuses = {status, *(s for c, s in NARROWER if c == example["code"])}
                        assert example["title"] == title
                        assert example["status"] in statuses
                        assert example["type"].endswith(f"/docs#{example['code']}")
    assert seen > 70


def _examples(media: dict[str, Any]) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
    for example in media.get("examples", {}).values():
        yield example["value"]


def test_headers_are_as_their_examples() -> None:
    """Each header has an example that is what its schema says."""
    for name, header in contract()["components"]["headers"].items():
        check(header["example"], header["schema"], name)


def test_statuses_are_those_of_their_codes() -> None:
    """The problems shown for a status are codes of that status; each code of a route is shown."""
    shown: set[str] = set()
    for path, method, operation in operations():
        for status, response in operation["responses"].items():
            media = resolve(response).get("content", {}).get("application/problem+json", {})
            for example in _examples(media):
                shown.add(example["code"])
                usual = KINDS[example["code"]][0]
                is_narrower = (example["code"], int(status)) in NARROWER
                assert str(usual) == status or is_narrower, f"{method} {path}"
                assert str(example["status"]) == status, f"{method} {path}"
    assert shown == set(Code) - {Code.METHOD_NOT_ALLOWED}


def test_every_operation_says_what_to_do() -> None:
    """Each operation has a summary, a description, its credentials and a name."""
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, method, operation in operations():
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert "security" in operation, (method, path)


def test_it_is_found_in_a_checkout() -> None:
    """In a checkout the contract is the file at the root."""
    assert contract_path() == Path(__file__).resolve().parents[2] / "openapi.yaml"


def test_enumerations_are_texts() -> None:
    """An enumeration of the contract is text in the code, so that it is written as it is named."""
    for kind in TYPES.values():
        assert not issubclass(kind, enum.Enum) or issubclass(kind, str)
