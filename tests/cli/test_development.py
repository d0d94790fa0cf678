"""`make run`: a newcomer's first minute, line by line."""

import json
import os
import signal
import stat
import subprocess
from types import SimpleNamespace

import jwt
import pytest
import urllib3

from testing.service import ROOT, free_port
from testing.shell import DEVELOPMENT, make_run, run_shell
from tokensvc.cli import development_guide
from tokensvc.config.model import PLACEHOLDER_API_KEY

pytestmark = pytest.mark.slow


def curl_lines(printed: str) -> list[str]:
    return [line.strip() for line in printed.splitlines() if line.startswith("  curl ")]


@pytest.fixture(scope="module")
def first_minute(tmp_path_factory):
    """Start it once, on every interface, in a folder with a name that needs quoting."""
    folder = tmp_path_factory.mktemp("first") / "a folder with spaces"
    folder.mkdir()
    port = free_port()
    with make_run(folder, f"0.0.0.0:{port}") as (process, printed):
        yield SimpleNamespace(
            folder=folder,
            port=port,
            url=f"http://127.0.0.1:{port}",
            printed=printed,
            process=process,
        )


def test_each_printed_line_works_as_it_stands(first_minute, tmp_path):
    """The user's token, bare too, who they are, the backend's token, and a ban and its end."""
    # From elsewhere, as in a second terminal.
    ended = [run_shell(line, tmp_path) for line in curl_lines(first_minute.printed)]
    assert [(one.returncode, one.stderr) for one in ended] == [(0, "")] * 6
    minted, text, me, service_minted, banned, reinstated = (one.stdout for one in ended)
    assert json.loads(minted)["user_id"] == "demo-user"
    assert json.loads(minted)["api_key"] == PLACEHOLDER_API_KEY
    assert jwt.decode(text, options={"verify_signature": False})["user_id"] == "demo-user"
    assert json.loads(me) == {
        "user_id": "demo-user",
        "api_key": PLACEHOLDER_API_KEY,
        "issuer": "development",
    }
    assert json.loads(service_minted)["user_id"] == "john"
    assert [json.loads(state)["suspended"] for state in (banned, reinstated)] == [True, False]
    assert "Stream will not accept these tokens" in first_minute.printed


@pytest.mark.sec(25)
def test_what_is_made_is_its_owners_alone(first_minute):
    """Every file under var/ has mode 0600, and no credential is printed."""
    for path in (first_minute.folder / "var").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        if path.name in {"development-client-secret", "development-user-token"}:
            assert path.read_text() not in first_minute.printed


def test_phones_and_emulators_are_served(first_minute):
    """On every interface, the printed addresses and the emulator's name are allowed hosts."""
    (line,) = [one for one in first_minute.printed.splitlines() if one.startswith("From phones")]
    hosts = [word.removeprefix("http://") for word in line.split() if word.startswith("http")]
    assert hosts
    for host in (*hosts, f"10.0.2.2:{first_minute.port}"):
        answer = urllib3.request("GET", f"{first_minute.url}/openapi.yaml", headers={"Host": host})
        assert answer.status == 200, host


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:5173", "http://10.0.2.2:8080"]
)
def test_pages_of_this_machine_may_call(first_minute, origin):
    """Any port of this machine may show a page that asks for tokens."""
    answer = urllib3.request(
        "OPTIONS",
        f"{first_minute.url}/v1/token",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert answer.headers["Access-Control-Allow-Origin"] == origin


def refused(folder, bind, **environ):
    """Give what is said by a start that must not succeed."""
    run = subprocess.run(
        [*DEVELOPMENT, "--bind", bind],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    return run.stderr


@pytest.mark.sec(61)
def test_the_development_issuer_is_refused_in_production(first_minute, tokensvc):
    """Development settings taken to production do not start: anyone could sign in."""
    production = {"TOKENSVC_ENVIRONMENT": "production"}
    config = str(first_minute.folder / "var/development.toml")
    ended = tokensvc.process("serve", TOKENSVC_CONFIG=config, **production)
    assert ended.code != 0
    assert "for development only" in ended.err
    bind = f"127.0.0.1:{free_port()}"
    assert "for development only" in refused(first_minute.folder, bind, **production)


def test_a_port_that_is_taken_is_told(first_minute, tmp_path):
    """Another service on the port is not taken for ours; the text names another port."""
    assert "make run BIND=" in refused(tmp_path, f"127.0.0.1:{first_minute.port}")


@pytest.mark.parametrize("bind", ["8000", ":8000", "localhost:http", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_told(tmp_path, bind):
    """A typing error in the address ends with what would be right."""
    assert "127.0.0.1:8000" in refused(tmp_path, bind)


def test_later_starts_find_what_the_first_one_made(tmp_path):
    """Nothing is made twice, a lost secret is replaced, a real Stream key has files of its own."""
    bind = f"127.0.0.1:{free_port()}"
    with make_run(tmp_path, bind) as (process, first):
        made = {path.name: path.read_bytes() for path in kept_files(tmp_path)}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with make_run(tmp_path, bind) as (_, again):
        assert again == first
        assert {path.name: path.read_bytes() for path in kept_files(tmp_path)} == made
        assert backend_token(again, tmp_path)["api_key"] == PLACEHOLDER_API_KEY
    (tmp_path / "var/development-client-secret").unlink()
    real = {"STREAM_API_KEY": "real-key", "STREAM_API_SECRET": "s" * 40}
    with make_run(tmp_path, bind, **real) as (_, printed):
        minted = backend_token(printed, tmp_path)
        assert minted["api_key"] == "real-key"
        jwt.decode(minted["token"], "s" * 40, algorithms=["HS256"])
        assert "Stream will not accept" not in printed
    with make_run(tmp_path, bind) as (_, printed):
        assert backend_token(printed, tmp_path)["api_key"] == PLACEHOLDER_API_KEY


def kept_files(folder):
    names = ("development.toml", "development-client-secret", "development-issuer.pem")
    return [folder / "var" / name for name in names]


def backend_token(printed, folder):
    (line,) = [line for line in curl_lines(printed) if "-u " in line and "/token" in line]
    return json.loads(run_shell(line, folder).stdout)


def test_make_run_is_this_command():
    """The target starts what is tested here, and hands the address on."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "-n", "run", "BIND=0.0.0.0:8123"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    last = shown.stdout.splitlines()[-1]
    assert last == ".venv/bin/python -m tokensvc.cli.development --bind 0.0.0.0:8123"


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", []),
        ("localhost", []),
        ("[::1]", []),
        ("192.0.2.7", ["192.0.2.7"]),
    ],
)
def test_only_other_machines_are_told_an_address(host, found):
    """A service that listens to this machine alone has no address for phones."""
    assert development_guide.addresses(host) == found
