"""`make run`: the printed commands, the created files, and repeated starts."""

import base64
import hashlib
import html
import json
import os
import re
import signal
import stat
from pathlib import Path
from types import SimpleNamespace

import jwt
import pytest
import urllib3

from development import guide
from development.qr import qr_text
from testing.command_line import run_command
from testing.service import ROOT, STREAM_API_KEY, free_port, running_service, settings_environ
from testing.shell import DEVELOPMENT, make_run, run_shell
from testing.warm_start import run_program
from tokensvc.config.model import PLACEHOLDER_API_KEY

pytestmark = pytest.mark.slow

ESTABLISHED, LISTENING = "01", "0A"
"""States in /proc/net/tcp (proc(5))."""


def curl_lines(printed: str) -> list[str]:
    return [line.strip() for line in printed.splitlines() if line.startswith("  curl ")]


@pytest.fixture(scope="module")
def development(tmp_path_factory):
    """Start `make run` on every interface, in a folder whose name needs quoting."""
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


@pytest.fixture(scope="module")
def with_issuer(tmp_path_factory):
    """Start `make run ISSUER=1`."""
    folder = tmp_path_factory.mktemp("issuer")
    port = free_port()
    with make_run(folder, f"127.0.0.1:{port}", "--issuer") as (_, printed):
        yield SimpleNamespace(folder=folder, port=port, printed=printed)


def responses(printed, folder):
    """Run the printed lines, as in a second terminal, and return what each printed."""
    ended = [run_shell(line, folder) for line in curl_lines(printed)]
    assert {(one.returncode, one.stderr) for one in ended} == {(0, "")}
    return [one.stdout for one in ended]


def test_start_leaves_no_connection_open(with_issuer):
    """A stop would wait two seconds for requests on it."""
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [fields for fields in connections if fields[1].endswith(f":{with_issuer.port:04X}")]
    assert LISTENING in {fields[3] for fields in own}
    assert ESTABLISHED not in {fields[3] for fields in own}


def test_printed_commands_of_an_account_work_unchanged(development, tmp_path):
    """The whole life of a session: its mints and its end are tested by what the lines print."""
    printed = responses(development.printed, tmp_path)
    assert [line for line in printed if not line] == [""] * 3  # into the file, and no content
    ada, minted, me, revoked, bob, john, suspended, reinstated = map(
        json.loads, filter(None, printed)
    )
    assert (ada["user_id"], bob["user_id"], john["user_id"]) == ("ada", "bob", "john")
    assert (minted["user_id"], minted["api_key"]) == ("ada", PLACEHOLDER_API_KEY)
    assert me == {"user_id": "ada", "api_key": PLACEHOLDER_API_KEY, "issuer": "accounts"}
    assert revoked["revocation"] is not None
    assert [suspended["suspended"], reinstated["suspended"]] == [True, False]
    assert "Stream will not accept these tokens" in development.printed
    # The session has ended.
    (mint,) = [
        line for line in curl_lines(development.printed) if "Bearer" in line and "/token" in line
    ]
    assert json.loads(run_shell(mint, tmp_path).stdout)["code"] == "sign_in_required"


def test_printed_commands_of_the_development_issuer_work_unchanged(with_issuer, tmp_path):
    minted, text, me, *_ = responses(with_issuer.printed, tmp_path)
    assert json.loads(minted)["user_id"] == "demo-user"
    assert jwt.decode(text, options={"verify_signature": False})["user_id"] == "demo-user"
    assert json.loads(me)["issuer"] == "development"


@pytest.mark.sec(25)
def test_files_have_mode_0600_and_no_credential_is_printed(development):
    for path in files_of(development.folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        if path.name == "client-secret":
            assert path.read_text() not in development.printed


def test_printed_addresses_are_allowed_hosts(development):
    (line,) = [one for one in development.printed.splitlines() if one.startswith("From phones")]
    hosts = [word.removeprefix("http://") for word in line.split() if word.startswith("http")]
    assert hosts
    for host in (*hosts, f"10.0.2.2:{development.port}"):
        response = urllib3.request("GET", f"{development.url}/openapi.yaml", headers={"Host": host})
        assert response.status == 200, host


def test_root_leads_to_a_page_with_the_printed_commands(development):
    """It loads nothing, and its links have targets."""
    pages = [urllib3.request("GET", f"{development.url}{path}") for path in ("/", "/dev")]
    assert pages[0].data == pages[1].data
    page = html.unescape(pages[0].data.decode())
    for line in curl_lines(development.printed):
        assert line in page
    assert "default-src 'none'" in pages[0].headers["Content-Security-Policy"]
    links = re.findall(r'href="(?!data:)([^"]+)"', page)
    assert "/docs" in links
    for link in links:
        assert urllib3.request("GET", f"{development.url}{link}").status == 200
    assert not re.search(r"<img|\son\w+=|\sstyle=|src=", page)
    policy = pages[0].headers["Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", pages[0].data.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; connect-src 'self'" in policy


def test_page_asks_for_the_token_of_the_provider_where_one_signs_users_in(with_issuer):
    page = urllib3.request("GET", f"http://127.0.0.1:{with_issuer.port}/dev/").data.decode()
    assert re.findall(r'name="(\w+)"', page.partition("<form>")[2]) == ["credential"]


def test_page_without_make_run_says_what_prints_commands(tmp_path):
    settings = {"TOKENSVC_ENVIRONMENT": "development", "TOKENSVC_PUBLIC_URL": "http://127.0.0.1:1"}
    with running_service(tmp_path, **settings) as service:
        page = urllib3.request("GET", service.base_url).data.decode()
    assert "<code>make run</code> starts the service" in page


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:5173", "http://10.0.2.2:8080"]
)
def test_local_origins_are_allowed(development, origin):
    response = urllib3.request(
        "OPTIONS",
        f"{development.url}/v1/token",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert response.headers["Access-Control-Allow-Origin"] == origin


def failed_start(folder, bind, **environ):
    """Return the error of a start that must fail."""
    environ |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    run = run_program([*DEVELOPMENT[1:], "--bind", bind], cwd=folder, env=environ)
    assert run.returncode != 0
    assert b"Traceback" not in run.stderr
    return run.stderr.decode()


@pytest.mark.sec(61)
def test_development_issuer_is_refused_in_production(with_issuer, tokensvc):
    production = {"TOKENSVC_ENVIRONMENT": "production"}
    config = str(with_issuer.folder / "var/development/settings.toml")
    ended = tokensvc.process("serve", TOKENSVC_CONFIG=config, **production)
    assert ended.code != 0
    assert "for development only" in ended.err
    bind = f"127.0.0.1:{free_port()}"
    assert "placeholder key" in failed_start(with_issuer.folder, bind, **production)


@pytest.mark.sec(61)
def test_production_start_in_the_same_folder_takes_nothing_over(development):
    """It refuses the database of development."""

    def production(database, *command):
        url = {"TOKENSVC_DATABASE_URL": f"sqlite:///{development.folder / 'var' / database}"}
        environ = settings_environ(development.folder, **url)
        return run_command(development.folder, environ, *command)

    assert production("tokensvc.db", "migrate").code == 0
    assert production("tokensvc.db", "token", "mint", "john").code == 0
    assert production("tokensvc.db", "clients", "list", "--json").json == []
    keys = production("tokensvc.db", "stream-keys", "list", "--json").json
    assert [key["api_key"] for key in keys] == [STREAM_API_KEY]
    (refused,) = [
        production(path.relative_to(development.folder / "var"), "token", "mint", "john")
        for path in files_of(development.folder)
        if path.name == "tokensvc.db"
    ]
    assert (refused.code, "made with `environment` = development" in refused.err) == (1, True)


def test_port_in_use_is_refused_with_another_port(development, tmp_path):
    assert "make run BIND=" in failed_start(tmp_path, f"127.0.0.1:{development.port}")


@pytest.mark.parametrize("bind", ["8000", ":8000", "localhost:http", "127.0.0.1:99999"])
def test_invalid_bind_is_refused_with_an_example(tmp_path, bind):
    assert "127.0.0.1:8000" in failed_start(tmp_path, bind)


@pytest.mark.sec(25)
def test_secret_given_as_the_api_key_is_refused_and_names_no_folder(tmp_path):
    secret = "s" * 64
    bind = f"127.0.0.1:{free_port()}"
    swapped = failed_start(tmp_path, bind, STREAM_API_KEY=secret, STREAM_API_SECRET="k1")
    assert "exchange key and secret" in swapped
    assert [*tmp_path.iterdir()] == []


def test_second_start_reuses_files_and_replaces_a_lost_secret(tmp_path):
    """A real Stream key has its own settings and database."""
    bind = f"127.0.0.1:{free_port()}"
    with make_run(tmp_path, bind) as (process, first):
        created = {path.name: path.read_bytes() for path in kept_files(tmp_path)}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with make_run(tmp_path, bind) as (_, again):
        assert again == first
        assert {path.name: path.read_bytes() for path in kept_files(tmp_path)} == created
        assert backend_token(again, tmp_path)["api_key"] == PLACEHOLDER_API_KEY
    (tmp_path / "var/development/client-secret").unlink()
    real = {"STREAM_API_KEY": "real-key", "STREAM_API_SECRET": "s" * 40}
    with make_run(tmp_path, bind, **real) as (_, printed):
        minted = backend_token(printed, tmp_path)
        assert minted["api_key"] == "real-key"
        jwt.decode(minted["token"], "s" * 40, algorithms=["HS256"])
        assert "Stream will not accept" not in printed


def files_of(folder):
    return [path for path in (folder / "var/development").rglob("*") if path.is_file()]


def kept_files(folder):
    names = ("settings.toml", "client-secret")
    return [folder / "var/development" / name for name in names]


def backend_token(printed, folder):
    (line,) = [line for line in curl_lines(printed) if "-u " in line and "/token" in line]
    return json.loads(run_shell(line, folder).stdout)


QR = """\
█████████████████████████████████████
█████████████████████████████████████
████ ▄▄▄▄▄ ██▄▀▀ ▄▀▀ ▀█ ▄█ ▄▄▄▄▄ ████
████ █   █ █▄  ▀▄  ▀▄█▄▀ █ █   █ ████
████ █▄▄▄█ ██▀▄██▀▄██▄  ▄█ █▄▄▄█ ████
████▄▄▄▄▄▄▄█ ▀ █ ▀ █ ▀ ▀▄█▄▄▄▄▄▄▄████
████▄ ▄▀▄▄▄ ▄█  ██  █ ███▄ ▀█▀▄█▀████
████▀ ▄▀▄ ▄▀█▄█▀█▄█▀█▀█▀▄   ▄▀▄ ▄████
████ ███▀▀▄▄▄██▀ ▀█▀  █▄██  █ ▀▄ ████
█████▄▀▄▀▄▄▀█  ▄ ▀ ▄ ▀▀█▄▀██▀▀█ ▄████
██████▄ █ ▄█  █ ██  █ ▀▄█▀ ▀██▀▄ ████
████▄▀ ██ ▄ █▄▀▀█▄█▀█ ██▀ ▀▀█ █ ▄████
████▄█▄▄▄▄▄█ █▄▀ ▀█▀ ▄▄█ ▄▄▄ █▀▀▀████
████ ▄▄▄▄▄ █ ▀ ▄ ▀ ▄  ▀  █▄█  █ ▄████
████ █   █ █▄█▄ ██  ██▄▀  ▄▄  █▄█████
████ █▄▄▄█ █ ▀▀▀█▄█▀█▄█ ▀ ██▄ ▄▀▄████
████▄▄▄▄▄▄▄█▄███▄███▄███▄▄▄██▄█▄▄████
█████████████████████████████████████
█████████████████████████████████████
"""
"""Read by ZXing as the URL below."""


def test_qr_code_is_that_of_the_address():
    assert qr_text("http://192.168.1.7:8000/dev/") == QR.rstrip()
    assert qr_text("http://[2001:db8:1111:2222:3333:4444:5555:6666]:8000/dev/") == ""


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", []),
        ("localhost", []),
        ("[::1]", []),
        ("192.0.2.7", ["192.0.2.7"]),
    ],
)
def test_addresses_for_phones_exclude_loopback(host, found):
    assert guide.addresses(host) == found
