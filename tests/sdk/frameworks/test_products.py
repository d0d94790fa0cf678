"""One provider serves Stream's clients of Video and of Feeds, with their unmodified packages."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from testing.doubles.http_double import Call, HttpDouble
from testing.response import Response
from tests.sdk.frameworks.conftest import FOLDER
from tests.sdk.js.endpoint import TOKEN, problem

pytestmark = pytest.mark.skipif(
    not os.environ.get("FRAMEWORKS"), reason="`make frameworks` runs it"
)


def test_types_of_the_examples_match_the_packages(node: Path, packages: Path) -> None:
    compiler = packages / "typescript" / "bin" / "tsc"
    ended = subprocess.run(
        [node, compiler, "--project", FOLDER], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout


def test_clients_load_a_token_renew_it_and_get_the_refusal(node: Path, packages: Path) -> None:
    """A client repeats a request whose token has expired. The provider asks a refused user once."""
    numbers = iter(range(10))

    def mint(call: Call) -> Response:
        if call.headers["authorization"] == "Bearer suspended":
            return problem(403, "user_suspended")
        return Response(200, {"token": f"{TOKEN}{next(numbers)}"})

    with HttpDouble(mint, clock=time.time) as service:
        ended = subprocess.run(
            [node, FOLDER / "products.mjs", f"{service.url}/v1/token", "valid", "suspended"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        refused = [call for call in service.calls.all() if call.status == 403]
    for result in json.loads(ended.stdout.splitlines()[-1]).values():
        assert result["tokens"] == 2
        assert result["left"] == ["user_suspended"]
        assert "because user_suspended" in result["refusal"]
    assert len(refused) == 2
