"""schemathesis sends valid and invalid requests to the running service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.events import AUDIENCE
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.service import (
    EVERYTHING,
    NO_LIMITS,
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
)
from testing.service_clients import basic, make_client
from tokensvc.core.scopes import SCOPES
from tokensvc.database.engine import Database
from tokensvc.ops.contract import contract_path

pytestmark = pytest.mark.slow

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "1")
PHASES = "examples,coverage,fuzzing"
"""Not stateful: a dry run responds with the ID of a resource that it does not create."""


BAD_SENSE = "positive_data_acceptance"
"""Not checked: a request may be well-formed and ask for what this caller may not have."""


PATHS = {
    "anonymous": "^/(v1/(accounts|issuers|sessions)|oauth|[a-z]+$|openapi|[.]well-known)",
    "user": "^/v1/(token|me$)",
    "service": "^/",
}
"""
Paths that serve each kind of caller. All others respond with 401 or 403 to any request.

Without `/v1/me/revocations`: after it the user would get 401 for everything else.
"""

CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 429, "5xx"]
"""
"""Statuses for a request that the contract forbids; the tool's own list lacks 413 and 414."""

HOOKS = """
import schemathesis

schemathesis.serializer.alias("application/secevent+jwt", "text/plain")
"""
"""A media type that the tool does not know: a compact token."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str]]]:
    """Yield a service, and the `Authorization` of each kind of caller."""
    folder = tmp_path_factory.mktemp("service")
    with (
        IssuerDouble() as issuer,
        StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream,
        running_service(
            folder,
            STREAM_BASE_URL=stream.url,
            TOKENSVC_ENVIRONMENT="development",
            TOKENSVC_ISSUERS=json.dumps(
                [issuer.config(user_id_prefix="acme-", events={"audience": AUDIENCE})]
            ),
            TOKENSVC_ACCOUNTS__USER_ID_PREFIX="local-",
            **EVERYTHING,
            **NO_LIMITS,
        ) as service,
    ):
        database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
        backend = make_client(database, "fuzzer", *SCOPES)  # no example's
        database.close()
        yield (
            service,
            {
                "anonymous": "",
                "user": f"Bearer {issuer.token()}",
                "service": basic(backend)["authorization"],
            },
        )
        assert not [line for line in service.log_lines() if "exception" in line]


@pytest.mark.sec(52, 53, 56)
@pytest.mark.parametrize("caller", PATHS)
def test_generated_requests_get_declared_responses(
    world: tuple[Service, dict[str, str]], tmp_path: Path, caller: str
) -> None:
    """Valid and invalid requests."""
    service, callers = world
    authorization = callers[caller]
    credential = ["--header", f"Authorization: {authorization}"] if authorization else []
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    (tmp_path / "contract_hooks.py").write_text(HOOKS)
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(contract_path())),
            *("--url", service.base_url, "--checks", "all", "--exclude-checks", BAD_SENSE),
            *(
                "--phases",
                PHASES,
                "--max-examples",
                EXAMPLES,
                "--seed",
                "1",
                "--generation-database",
                "none",
            ),
            *("--include-path-regex", PATHS[caller], "--no-color", *credential),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "SCHEMATHESIS_HOOKS": "contract_hooks"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-8000:] + finished.stderr
