"""`clients/js` as an app gets it: the tarball of `npm pack`, installed into an empty project."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.node import run_npm
from testing.page_snippets import PAGES, snippets
from testing.service import ROOT, STREAM_API_KEY, free_port
from testing.shell import run_shell
from testing.world import World
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.endpoint import TOKEN

CLIENT = ROOT / "clients" / "js"
TESTS = ROOT / "tests" / "sdk" / "js"
ELSEWHERE = {"suspend.js", "products.ts"}
TOOLS = ("@types", "happy-dom", "react", "react-dom", "stream-chat", "typescript", "undici-types")


@pytest.fixture(scope="module")
def project(node: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with only the package."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    run_npm(CLIENT, "pack", "--silent", "--pack-destination", str(folder))
    (tarball,) = folder.glob("*.tgz")
    run_npm(folder, "install", "--silent", "--offline", "--no-audit", str(tarball))
    return folder


@pytest.fixture(scope="module")
def app_project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with the package, the tools of the tests, and the files of `examples/`."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(project, folder, dirs_exist_ok=True)
    for tool in TOOLS:
        (folder / "node_modules" / tool).symlink_to(TESTS / "node_modules" / tool)
    for name in ("connect.js", "express", "javascript", "nextjs"):
        source = ROOT / "examples" / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (folder / "examples").mkdir(exist_ok=True)
        copy(source, folder / "examples" / name)
    shutil.copytree(CLIENT, folder / "source")
    shutil.copytree(TESTS / "app", folder, dirs_exist_ok=True)
    for double in ("expo-secure-store", "stream-chat-react"):
        (folder / double).rename(folder / "node_modules" / double)
    return folder


def run_node(node: Path, folder: Path, *arguments: str) -> Any:
    """Run Node, and return the JSON that it prints."""
    ended = subprocess.run(
        [node, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout or "null")


def test_package_has_no_dependency(project: Path) -> None:
    installed = {path.name for path in (project / "node_modules").iterdir()}
    assert installed - {".package-lock.json"} == {"tokensvc-client"}


def test_tarball_has_only_the_code_and_its_types(project: Path) -> None:
    files = {path.name for path in (project / "node_modules" / "tokensvc-client").iterdir()}
    assert files == {
        "README.md",
        "chat.d.ts",
        "chat.js",
        "credentials.js",
        "index.d.ts",
        "index.js",
        "package.json",
        "provider.js",
        "react.d.ts",
        "react.js",
        "requests.js",
        "session.js",
    }


def test_package_exports_its_functions(node: Path, project: Path) -> None:
    script = 'console.log(JSON.stringify(Object.keys(await import("tokensvc-client"))))'
    exports = run_node(node, project, "--input-type=module", "--eval", script)
    assert sorted(exports) == [
        "ServiceError",
        "auth0Credential",
        "clerkCredential",
        "cognitoCredential",
        "firebaseCredential",
        "getMe",
        "makeSession",
        "makeTokenProvider",
        "supabaseCredential",
        "watchAccess",
    ]


def test_types_match_the_code_and_its_uses(node: Path, app_project: Path) -> None:
    """The code, the examples, and wrong uses, with strict settings."""
    compiler = app_project / "node_modules" / "typescript" / "bin" / "tsc"
    ended = subprocess.run(
        [node, compiler, "--project", app_project],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


def test_every_javascript_block_of_a_page_is_run() -> None:
    """
    The programs in the folder `app` import each file that a page shows.

    `tests/revocations/events/test_recipe.py` runs `suspend.js`, a backend's code, and
    `tests/sdk/frameworks/test_products.py` runs `products.ts`.
    """
    shown = {name for page in PAGES for name, _ in snippets(page.read_text())}
    programs = "".join(path.read_text() for path in (TESTS / "app").glob("*.mjs"))
    for name in shown:
        if name.endswith((".js", ".ts")) and Path(name).name not in ELSEWHERE:
            assert f'from "./{name}"' in programs, name


def test_react_hook_keeps_the_provider_until_the_next_sign_in(
    node: Path, app_project: Path, endpoint: HttpDouble
) -> None:
    """The callbacks of the last render are used."""
    result = run_node(node, app_project, "react_hook.mjs", f"{endpoint.url}/v1/token")
    assert result == {"same": True, "next": True, "token": TOKEN}
    assert [call.headers["authorization"] for call in endpoint.calls.all()] == ["Bearer second"]


def test_example_connects_and_switches_the_user(
    node: Path, app_project: Path, app: ChatApp, tokens: HttpDouble, stream: StreamDouble
) -> None:
    """
    Of an identity provider, with the React hooks too.

    The previous user's device is unregistered. A suspended user is signed out, also from an open
    connection, but not while they leave. A stored answer of the service is corrected, and removed
    when the user leaves.
    """
    credentials = [app.sign_in("john"), app.sign_in("jane"), app.sign_in("banned")]
    app.set_suspended("banned")
    result = run_node(node, app_project, "connect.mjs", tokens.url, stream.url, *credentials)
    assert result == {
        "first": "john",
        "second": "jane",
        "hooks": ["john"] * 2,
        "left": [["user_suspended", None]] * 3,
        "kept": ["previous", STREAM_API_KEY, None],
        "refusals": 0,
        "development": 43,
        "signedOut": ["user_suspended"] * 2,
    }
    assert not stream.devices.of("jane")
    assert stream.calls.to("POST", "/devices")


def test_example_signs_up_and_out(
    node: Path, app_project: Path, account_world: World, stream: StreamDouble
) -> None:
    """With a built-in account, for browsers and for React Native."""
    service = account_world.service.base_url
    result = run_node(node, app_project, "accounts.mjs", service, stream.url)
    assert result["connected"] == "john"
    assert [token is None for token in result["stored"]] == [False, True]
    assert [token is None for token in result["native"]] == [False, False, True, True]
    assert result["explained"] == [
        "The password is too weak. It is in the list of common passwords.",
        "Please try again in 7 s.",
    ]


def test_program_runs_in_a_clone_with_the_commands_of_its_header(
    tmp_path: Path, account_world: World, stream: StreamDouble
) -> None:
    """`examples/connect.js`, unchanged: the SDK reads Stream's host from a variable."""
    for folder in ("examples", "clients"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    program = (ROOT / "examples" / "connect.js").read_text()
    commands = re.findall(r"^//   (.+)$", program, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["npm", "node"]
    service = account_world.service.base_url
    account = {"user_id": "ada", "password": "seven green bicycles"}
    assert requests.post(f"{service}/v1/accounts", json=account, timeout=30).status_code == 201
    ended = run_shell(
        "\n".join(commands).replace("http://127.0.0.1:8000", service),
        tmp_path,
        STREAM_LOCAL_TEST_HOST=stream.url.removeprefix("http://"),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith(f"ada is connected with the key {STREAM_API_KEY}.\n")
    failed = run_shell(
        commands[1].replace("http://127.0.0.1:8000", service),
        tmp_path,
        STREAM_LOCAL_TEST_HOST=f"127.0.0.1:{free_port()}",
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("Not connected: ")
    assert "eyJ" not in failed.stdout + failed.stderr
