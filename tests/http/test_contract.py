"""`openapi.yaml` agrees with the code."""

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
from testing.service import EVERYTHING, settings_environ
from tokensvc.app import mount
from tokensvc.app.build import build
from tokensvc.app.key_files import KeyFiles
from tokensvc.config import loader as settings
from tokensvc.core.errors import Code
from tokensvc.http.parameters import ActionRequest
from tokensvc.http.problems import STATUS_AND_TITLE
from tokensvc.ops.contract import contract, contract_path

MIN_LITERAL = 12
"""Characters outside the braces of an f-string; shorter ones would match any text."""

NARROWER = {(Code.USER_SUSPENDED, 409), (Code.USER_ERASED, 409), (Code.MALFORMED_REQUEST, 414)}
"""Statuses that a code has in addition to its usual one."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in contract()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_contract_is_valid_openapi() -> None:
    openapi_spec_validator.validate(contract())


def test_routes_equal_the_paths_of_the_contract(tmp_path: Path) -> None:
    loaded = settings.load(settings_environ(tmp_path, **EVERYTHING))
    services = build(loaded, KeyFiles.read_existing(loaded))
    try:
        app = mount.build_app(services)
    finally:
        services.close()
    mapped = {
        (re.sub(r"<(?:[^:]+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert mapped == {(path, method.upper()) for path, method, _ in operations()}


def test_schemas_are_generated_from_the_code() -> None:
    """`make contract` would not change the file."""
    text = contract_path().read_text()
    assert generated(text) == text


def test_member_without_description_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that the docstring of its struct does not describe stops the generation."""
    monkeypatch.setattr(ActionRequest, "__doc__", "Body of an action.")
    with pytest.raises(ValueError, match=r"ActionRequest\.reason has no entry"):
        generated(contract_path().read_text())


def test_contract_has_each_code_with_advice() -> None:
    schema = contract()["components"]["schemas"]["Code"]
    assert set(schema["enum"]) == set(Code)
    assert schema["x-enum-descriptions"].keys() == set(Code)


def test_examples_match_their_schemas() -> None:
    """Examples of problems also have the title, status and type of their code."""
    seen = 0
    for path, method, operation in operations():
        responses = [resolve(response) for response in operation["responses"].values()]
        for holder in (operation.get("requestBody", {}), *responses):
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
    """Each error text and each `warning` of an example is a text that the service sends."""
    sent = list(_texts_of_the_code())
    shown = {
        example[member]
        for _, _, operation in operations()
        for response in operation["responses"].values()
        for media in resolve(response).get("content", {}).values()
        for example in _examples(media)
        for member in {"detail", "error_description", "warning"}.intersection(example)
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


def test_header_examples_match_their_schemas() -> None:
    for name, header in contract()["components"]["headers"].items():
        check(header["example"], header["schema"], name)


def test_problem_examples_have_the_status_of_their_code() -> None:
    """Each code is shown at least once."""
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


def test_each_operation_is_described() -> None:
    """Each one has a unique name, a summary, a description and its credentials."""
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, method, operation in operations():
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert "security" in operation, (method, path)


def test_contract_is_the_root_file_in_a_checkout() -> None:
    assert contract_path() == Path(__file__).resolve().parents[2] / "openapi.yaml"
