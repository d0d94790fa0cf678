"""The text that `make run` prints, and the addresses at which phones reach this machine."""

import ipaddress
import shlex
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from development.qr import qr_text
from tokensvc.server.ports import listen_briefly

EMULATOR = "10.0.2.2"
"""Address of the host machine in Android's emulator."""

_JSON = "-H 'Content-Type: application/json'"

_EVERY_INTERFACE = {"0.0.0.0", "[::]"}  # noqa: S104 - compared, not listened on
_MAX_PORT = 65535

_TEXT = """
tokensvc is running at {url} with {settings_file}, for development.
{users}
As your backend, get one for a user that it has signed in itself:

  curl -sS -u "{client}" {json} -d '{{"user_id": "john"}}' {url}/v1/token

Suspend and reinstate that user:

  curl -sS -X PUT -u "{client}" {url}/v1/users/john/suspension
  curl -sS -X DELETE -u "{client}" {url}/v1/users/john/suspension
{placeholder}{addresses}
In a browser:  {url}/dev/
API reference: {url}/docs
Commands:      TOKENSVC_CONFIG={settings_file} .venv/bin/tokensvc --help
Ctrl-C stops the service.
"""
_ACCOUNTS = """
Sign Ada up, and sign her in:

  curl -sS {json} -d '{ada}' {url}/v1/accounts
  curl -sS {json} -d '{ada}' -o {session} {url}/v1/sessions

Get a Stream token for her, and show who she is:

  curl -sS -X POST -H "Authorization: Bearer {access}" {url}/v1/token
  curl -sS -H "Authorization: Bearer {access}" {url}/v1/me

Refresh her session:

  curl -sS -d grant_type=refresh_token -d "refresh_token={refresh}" -o {session} {url}/oauth/token

Sign her out here, or as your backend on all devices:

  curl -sS -X DELETE -H "Authorization: Bearer {access}" {url}/v1/sessions/current
  curl -sS -X POST -u "{client}" {url}/v1/users/ada/revocations

A chat needs two. Sign Bob up:

  curl -sS {json} -d '{bob}' {url}/v1/accounts

If an identity provider signs your users in: make run ISSUER=1
"""
_ISSUER = """
Get a Stream token for {user_id}, signed in by the development issuer for one day:

  curl -sS -X POST {bearer} {url}/v1/token

Only the token, for SDKs that use the body unchanged:

  curl -sS -H 'Accept: text/plain' {bearer} {url}/v1/token

Show the caller:

  curl -sS {bearer} {url}/v1/me
"""
_PLACEHOLDER = """
Stream will not accept these tokens, and gets no suspension: the Stream key is a placeholder.
Set STREAM_API_KEY and STREAM_API_SECRET to the values in Stream's dashboard, then start again.
"""
_ADDRESSES = """
From phones on this network:  {phones}
From Android's emulator:      {emulator}

{qr}
"""


@dataclass(frozen=True, slots=True)
class AccountLines:
    """
    The commands of a user with a built-in account.

    Attributes:
        session_file: File for the response of the sign-in, which later commands read.
    """

    session_file: Path

    def text(self, url: str, client: str) -> str:
        """Return the text."""
        path = shlex.quote(str(self.session_file.resolve()))
        return _ACCOUNTS.format(
            url=url,
            client=client,
            json=_JSON,
            session=path,
            ada=_credentials("ada"),
            bob=_credentials("bob"),
            access=f"$({_member('access_token')} {path})",
            refresh=f"$({_member('refresh_token')} {path})",
        )


@dataclass(frozen=True, slots=True)
class IssuerLines:
    """
    The commands of a user of the development issuer.

    Attributes:
        user_token_file: File with the issuer's token for `user_id`. The commands name the file, so
            that they are short and the terminal shows no credential.
    """

    user_id: str
    user_token_file: Path

    def text(self, url: str, _client: str) -> str:
        """Return the text."""
        bearer = f'-H "Authorization: Bearer {_content(self.user_token_file)}"'
        return _ISSUER.format(url=url, user_id=self.user_id, bearer=bearer)


@dataclass(frozen=True, slots=True)
class Guide:
    """
    The commands to copy.

    Attributes:
        url: URL of the service on this machine.
        addresses: Addresses at which other machines reach it; empty if none can.
        users: The commands of users.
        client_id: ID of a service client that may mint for and suspend any user.
        client_secret_file: File with the secret of that client.
        is_placeholder: Whether the Stream key is the placeholder.
    """

    url: str
    settings_file: Path
    addresses: list[str]
    users: AccountLines | IssuerLines
    client_id: str
    client_secret_file: Path
    is_placeholder: bool

    def text(self) -> str:
        """Return the text."""
        port = self.url.rpartition(":")[2]
        phones = "  ".join(f"http://{address}:{port}" for address in self.addresses)
        emulator = f"http://{EMULATOR}:{port}"
        client = f"{self.client_id}:{_content(self.client_secret_file)}"
        return _TEXT.format(
            url=self.url,
            settings_file=self.settings_file,
            users=self.users.text(self.url, client),
            client=client,
            json=_JSON,
            placeholder=_PLACEHOLDER if self.is_placeholder else "",
            addresses=_ADDRESSES.format(
                phones=phones, emulator=emulator, qr=qr_text(f"{phones.split()[0]}/dev/")
            )
            if phones
            else "",
        )


def _credentials(user_id: str) -> str:
    """Return the body of a sign-up and a sign-in."""
    return f'{{"user_id": "{user_id}", "password": "seven green bicycles"}}'


def _member(name: str) -> str:
    """Return a shell command that prints a text member of a JSON file."""
    return f'sed \'s/.*"{name}":"\\([^"]*\\).*/\\1/\''


def _content(path: Path) -> str:
    """Return a shell expression for the content of a file, valid in any folder."""
    return f"$(cat {shlex.quote(str(path.resolve()))})"


def split_bind(bind: str) -> tuple[str, int]:
    """
    Split `host:port`.

    Raises:
        BadParameter: The text has another form.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise click.BadParameter("write a host and a port, such as 127.0.0.1:8000")
    return host, int(port)


def local_url(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a service that listens on `host`."""
    return f"http://{'127.0.0.1' if host in _EVERY_INTERFACE else host}:{port}"


def check_port_free(host: str, port: int, command: str) -> None:
    """
    Check that nothing else listens on the port, since the commands would reach that instead.

    Args:
        command: What to type before another address, such as `make run BIND=`.

    Raises:
        ClickException: The port is in use. The text suggests another.
    """
    try:
        listen_briefly(f"{host}:{port}")
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            f"Use another port: {command}{host}:{port + 1}"
        ) from error


def addresses(host: str) -> list[str]:
    """
    Return the addresses at which other machines reach a service that listens on `host`.

    The first is that of the interface that leads to other networks, which phones are likely to use.
    """
    if host not in _EVERY_INTERFACE:
        return [] if _is_loopback(host) else [host]
    found: list[str] = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket sends nothing; it only selects an interface.
        probe.connect(("192.0.2.1", 9))
        found.append(probe.getsockname()[0])
    with suppress(OSError):
        infos = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        found += sorted(str(info[4][0]) for info in infos)
    return [address for address in dict.fromkeys(found) if not _is_loopback(address)]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
