"""`openapi.yaml` and the code say the same."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest

import tokensvc
from testing.contract import generated
from testing.contract_checks import check, resolve
from testing.service import settings_environ
from tokensvc.app import container, mount
from tokensvc.config import loader as settings
from tokensvc.core.errors import Code
from tokensvc.http.actions import ActionRequest
from tokensvc.http.problems import STATUS_AND_TITLE
from tokensvc.ops.contract import contract, contract_path

MIN_LITERAL = 12
"""Characters outside the braces of an f-string; shorter ones would match any text."""

NARROWER = {(Code.USER_SUSPENDED, 409), (Code.MALFORMED_REQUEST, 414)}
"""Statuses that a code has beside its usual one, where HTTP has a narrower one."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in contract()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_is_valid() -> None:
    """The contract is OpenAPI 3.1."""
    openapi_spec_validator.validate(contract())


def test_routes_are_the_contracts(tmp_path: Path) -> None:
    """The URL map has the contract's paths and methods, no fewer and no more."""
    services = container.build(settings.load(settings_environ(tmp_path)))
    try:
        app = mount.build_app(services)
    finally:
        services.close()
    mapped = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert mapped == {(path, method.upper()) for path, method, _ in operations()}


def test_schemas_are_generated_from_the_code() -> None:
    """`make contract` would not change the file: each schema is that of the type of its name."""
    text = contract_path().read_text()
    assert generated(text) == text


def test_member_without_description_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that the docstring of its struct does not describe stops the generation."""
    monkeypatch.setattr(ActionRequest, "__doc__", "Body of an action.")
    with pytest.raises(ValueError, match=r"ActionRequest\.reason has no entry"):
        generated(contract_path().read_text())


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
                        status, title = STATUS_AND_TITLE[example["code"]]
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


def test_texts_of_examples_are_texts_of_the_code() -> None:
    """Each `detail` and each `warning` of an example is a text that the service sends."""
    sent = list(_texts_of_the_code())
    shown = {
        example[member]
        for _, _, operation in operations()
        for response in operation["responses"].values()
        for media in resolve(response).get("content", {}).values()
        for example in _examples(media)
        for member in {"detail", "warning"}.intersection(example)
    }
    assert [text for text in shown if not any(p.fullmatch(text) for p in sent)] == []


def _texts_of_the_code() -> Iterator[re.Pattern[str]]:
    """Yield a pattern for each text and each f-string of the package."""
    package = Path(tokensvc.__file__).parent
    for source in package.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.Constant(value=str() as text):
                    yield re.compile(re.escape(text))
                case ast.JoinedStr(values=parts):
                    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
                    if len("".join(map(str, texts))) >= MIN_LITERAL:
                        yield re.compile("".join(_pattern(part) for part in parts))


def _pattern(part: ast.expr) -> str:
    return re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+"


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
                usual = STATUS_AND_TITLE[example["code"]][0]
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
