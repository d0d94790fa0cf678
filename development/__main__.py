"""
`make run`: the service with development settings, and commands to copy.

Its users have built-in accounts, or with `--issuer` accounts at a development issuer. Creates its
files once, under `var/development/`, with mode 0600: the secret of a demo backend, and for each
Stream key and kind of account a folder with settings and a database, because one service has one
Stream app. `settings.toml` always is a link to the settings of the latest start, so that commands
to copy work with every Stream key. The service refuses these settings and databases in production.
"""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import click
import urllib3

from development.guide import (
    EMULATOR,
    AccountLines,
    Guide,
    IssuerLines,
    addresses,
    check_port_free,
    local_url,
    split_bind,
)
from development.issuer import DevelopmentIssuer
from tokensvc.app import startup
from tokensvc.cli.serve import GUNICORN
from tokensvc.cli.session import opened_services
from tokensvc.clients.rules import DEVELOPMENT_ACTOR, Rights, operator
from tokensvc.config.loader import SettingsError, load
from tokensvc.config.model import PLACEHOLDER_API_KEY
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Code, Refusal, StartupError
from tokensvc.core.scopes import Scope
from tokensvc.issuers.settings import DEVELOPMENT_ISSUER
from tokensvc.ops.routes import GUIDE_NAME
from tokensvc.vault.key_file import read_or_create

FOLDER = Path("var/development")
SETTINGS_LINK = FOLDER / "settings.toml"
USER_TOKEN_FILE = FOLDER / "user-token"
CLIENT_SECRET_FILE = FOLDER / "client-secret"
SESSION_FILE = FOLDER / "ada-session"
DEMO_USER = "demo-user"
DEMO_CLIENT = "demo"
DEMO_SCOPES = frozenset({Scope.TOKENS_MINT, Scope.USERS_READ, Scope.REVOCATIONS_WRITE})
SIGNED_IN_SECONDS = 24 * 3600
START_SECONDS = 30.0


@click.command()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT")
@click.option("--issuer", "with_issuer", is_flag=True, help="Use a development identity provider.")
def main(bind: str, *, with_issuer: bool) -> None:
    """Run the service for development, and print commands that work unchanged."""
    host, port = split_bind(bind)
    check_port_free(host, port, "make run BIND=")
    reachable = addresses(host)
    issuer = _development_issuer() if with_issuer else None
    url = local_url(host, port)
    try:
        settings_file = _configure(bind, url, reachable, issuer)
        guide = Guide(
            url=url,
            settings_file=settings_file,
            addresses=reachable,
            users=_account_lines() if issuer is None else _issuer_lines(issuer),
            client_id=_demo_client(CLIENT_SECRET_FILE),
            client_secret_file=CLIENT_SECRET_FILE,
            is_placeholder=_stream_key() == PLACEHOLDER_API_KEY,
        )
        _write_again(settings_file.with_name(GUIDE_NAME), guide.text())
    except (SettingsError, StartupError) as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(_serve(guide))


def _development_issuer() -> DevelopmentIssuer:
    return DevelopmentIssuer(
        FOLDER / "issuer.pem", issuer_url=DEVELOPMENT_ISSUER, audience="development"
    )


def _configure(bind: str, url: str, addresses: list[str], issuer: DevelopmentIssuer | None) -> Path:
    """Write the settings file of the Stream key once, and set the variables of this start."""
    name = re.sub(r"[^A-Za-z0-9]", "_", _stream_key())
    folder = FOLDER / (name if issuer is None else f"{name}-issuer")
    settings_file = folder / "settings.toml"
    read_or_create(settings_file, lambda: _settings_text(folder / "tokensvc.db", issuer))
    _link(SETTINGS_LINK, settings_file)
    os.environ["TOKENSVC_CONFIG"] = str(settings_file)
    os.environ["TOKENSVC_BIND"] = bind
    os.environ["TOKENSVC_PUBLIC_URL"] = url
    if addresses:
        settings = tomllib.loads(settings_file.read_text("utf-8"))
        hosts = [*settings["hosts"]["allowed"], *addresses]
        os.environ.setdefault("TOKENSVC_HOSTS__ALLOWED", json.dumps(hosts))
    return settings_file


def _link(link: Path, target: Path) -> None:
    """Make a relative link to a file atomically, in place of an existing one."""
    with tempfile.TemporaryDirectory(dir=link.parent) as folder:
        draft = Path(folder) / link.name
        draft.symlink_to(target.relative_to(link.parent))
        draft.replace(link)


def _stream_key() -> str:
    """
    Return the API key of this start. It names a folder, so it is checked first.

    Raises:
        SettingsError: The key or the secret is invalid, or one is missing.
    """
    names = ("STREAM_API_KEY", "STREAM_API_SECRET", "STREAM_API_SECRET_FILE")
    given = {name: os.environ[name] for name in names if name in os.environ}
    settings = load({"TOKENSVC_ENVIRONMENT": "development", **given})
    return settings.stream.api_key or PLACEHOLDER_API_KEY


def _settings_text(database: Path, issuer: DevelopmentIssuer | None) -> str:
    names = ["localhost", "127.0.0.1", EMULATOR]
    lines = [
        "# Created by `make run`, for development only. You can change or delete it.",
        'environment = "development"',
        f"database_url = {json.dumps(f'sqlite:///{database.absolute()}')}",
        "",
        "[cors]",
        f"origins = {json.dumps([f'http://{name}:*' for name in names])}",
        "",
        "[hosts]",
        f"allowed = {json.dumps([*names, '[::1]'])}",
        "",
        *_user_settings(issuer),
    ]
    if _stream_key() == PLACEHOLDER_API_KEY:
        lines += [
            "",
            "# A placeholder, whose tokens Stream rejects: set STREAM_API_KEY and",
            "# STREAM_API_SECRET to the values in Stream's dashboard and run `make run` again.",
            "[stream]",
            f"api_key = {json.dumps(PLACEHOLDER_API_KEY)}",
            f"api_secret = {json.dumps(secrets.token_hex(32))}",
        ]
    return "\n".join(lines) + "\n"


def _user_settings(issuer: DevelopmentIssuer | None) -> list[str]:
    if issuer is None:
        return ["[accounts]", "enabled = true", 'sign_up = "open"']
    accepted = issuer.issuer_settings()
    return [
        "[[issuers]]",
        f"name = {json.dumps(accepted.name)}",
        f"issuer = {json.dumps(accepted.issuer)}",
        f"audience = {json.dumps(accepted.audience)}",
        f"public_keys_file = {json.dumps(str(accepted.public_keys_file))}",
    ]


def _account_lines() -> AccountLines:
    """Create the file that the commands write the session to, which no other user may read."""
    read_or_create(SESSION_FILE, str)
    return AccountLines(SESSION_FILE)


def _issuer_lines(issuer: DevelopmentIssuer) -> IssuerLines:
    """Issue a token for the demo user."""
    now = int(system_clock())
    _write_again(USER_TOKEN_FILE, issuer.issue(DEMO_USER, now, SIGNED_IN_SECONDS))
    return IssuerLines(DEMO_USER, USER_TOKEN_FILE)


def _write_again(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in place of that of an earlier start."""
    path.unlink(missing_ok=True)
    read_or_create(path, lambda: text)


def _demo_client(secret_file: Path) -> str:
    """Create a service client that may mint for and suspend any user, and return its ID."""
    secret = read_or_create(secret_file, lambda: secrets.token_urlsafe(32))
    rights, administrator = (
        Rights(DEMO_SCOPES, vouches=True),
        operator(ActionContext(DEVELOPMENT_ACTOR)),
    )
    startup.create_database(startup.load_settings())
    with opened_services() as services:
        if services.settings.environment != "development":
            raise StartupError("`make run` is for development: unset TOKENSVC_ENVIRONMENT.")
        clients = services.client_administration
        try:
            client = clients.create_if_absent(
                DEMO_CLIENT, rights, administrator=administrator, secret=secret
            )
        except Refusal as refusal:
            if refusal.code is not Code.CONFLICT:
                raise
            # The secret file was deleted, so the stored secrets are lost.
            (client,) = [known for known in services.clients.page() if known.name == DEMO_CLIENT]
            for lost in client.secrets:
                clients.delete_secret(client.id, lost.id, administrator=administrator)
            clients.add_secret(client.id, secret=secret, administrator=administrator)
        # An older client may have fewer scopes.
        clients.change(client.id, DEMO_SCOPES, administrator=administrator)
    return client.id


def _serve(guide: Guide) -> int:
    """Run the service until Ctrl-C, and return its exit status."""
    service = subprocess.Popen([sys.executable, *GUNICORN])  # noqa: S603 - fixed arguments
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal also sends Ctrl-C to the service itself; a second signal does no harm.
        signal.signal(number, lambda *_: service.terminate())
    if _is_ready(service, guide.url):
        click.echo(guide.text())
    return service.wait()


def _is_ready(service: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the service is ready or has ended, and return whether it is ready."""
    deadline = time.monotonic() + START_SECONDS
    last = {"Connection": "close"}  # with an open connection, a stop waits for requests on it
    while service.poll() is None and time.monotonic() < deadline:
        with suppress(urllib3.exceptions.HTTPError):
            response = urllib3.request(
                "GET", f"{url}/readyz", headers=last, retries=False, timeout=2.0
            )
            if response.status == HTTPStatus.OK:
                return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    main()
