"""What `make run` prints, and under which addresses phones reach this machine."""

import ipaddress
import shlex
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

EMULATOR = "10.0.2.2"
"""By this address Android's emulator knows the machine that it runs on."""

_EVERY_INTERFACE = {"0.0.0.0", "[::]"}  # noqa: S104 - compared, not listened on
_MAX_PORT = 65535

_TEXT = """
tokensvc runs for development on {url}, by {settings_file}.

A Stream token for {user_id}, whom the development issuer has signed in for a day:

  curl -sS -X POST {bearer} {url}/v1/token

The bare token, for SDKs that take a body as it is:

  curl -sS -H 'Accept: text/plain' {bearer} {url}/v1/token

Whom the service takes them for:

  curl -sS {bearer} {url}/v1/me

As your backend, for a user that it has signed in itself:

  curl -sS -u "{client}" {json} -d '{{"user_id": "john"}}' {url}/v1/token

Ban that user, and let them back in:

  curl -sS -X PUT -u "{client}" {url}/v1/users/john/suspension
  curl -sS -X DELETE -u "{client}" {url}/v1/users/john/suspension
{placeholder}{addresses}
The contract:  {url}/docs
Commands:      TOKENSVC_CONFIG={settings_file} .venv/bin/tokensvc --help
Ctrl-C stops the service.
"""
_PLACEHOLDER = """
Stream will not accept these tokens: they are signed with a placeholder key. Set STREAM_API_KEY and
STREAM_API_SECRET, which Stream's dashboard shows, then start again.
"""
_ADDRESSES = """
From phones on this network:  {phones}
From Android's emulator:      {emulator}
"""


@dataclass(frozen=True, slots=True)
class Guide:
    """
    What a newcomer copies.

    Attributes:
        url: Of the service, from this machine.
        addresses: Under which other machines reach it; none when it listens to this one alone.
        user_token_file: A token of the development issuer for `user_id`. Named and not shown, so
            that the lines are short and the terminal keeps no credential.
        client_id: Of a service client that may mint for anyone, and ban them.
        client_secret_file: Its secret.
        is_placeholder: Whether the Stream key is one that Stream does not know.
    """

    url: str
    settings_file: Path
    addresses: list[str]
    user_id: str
    user_token_file: Path
    client_id: str
    client_secret_file: Path
    is_placeholder: bool

    def text(self) -> str:
        """Give the whole text."""
        port = self.url.rpartition(":")[2]
        phones = "  ".join(f"http://{address}:{port}" for address in self.addresses)
        emulator = f"http://{EMULATOR}:{port}"
        return _TEXT.format(
            url=self.url,
            settings_file=self.settings_file,
            user_id=self.user_id,
            bearer=f'-H "Authorization: Bearer {_content(self.user_token_file)}"',
            client=f"{self.client_id}:{_content(self.client_secret_file)}",
            json="-H 'Content-Type: application/json'",
            placeholder=_PLACEHOLDER if self.is_placeholder else "",
            addresses=_ADDRESSES.format(phones=phones, emulator=emulator) if phones else "",
        )


def _content(path: Path) -> str:
    """Give what a shell replaces by the content of a file, from whatever folder it runs in."""
    return f"$(cat {shlex.quote(str(path.resolve()))})"


def split_bind(bind: str) -> tuple[str, int]:
    """
    Take `host:port` apart.

    Raises:
        BadParameter: It is no such text.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise click.BadParameter("write a host and a port, such as 127.0.0.1:8000")
    return host, int(port)


def local_url(host: str, port: int) -> str:
    """Give the URL under which this machine reaches a service that listens on `host`."""
    return f"http://{'127.0.0.1' if host in _EVERY_INTERFACE else host}:{port}"


def check_not_taken(host: str, port: int) -> None:
    """
    Refuse a port that something else listens on: the printed lines would go there.

    Raises:
        ClickException: Names another one.
    """
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        with socket.create_server((host.strip("[]"), port), family=family):
            pass
    except OSError as error:
        raise click.ClickException(
            f"{host}:{port} cannot be listened on ({error.strerror}). "
            f"Take another port: make run BIND={host}:{port + 1}"
        ) from error


def addresses(host: str) -> list[str]:
    """Give the addresses under which other machines reach a service that listens on `host`."""
    if host not in _EVERY_INTERFACE:
        return [] if _is_loopback(host) else [host]
    found: set[str] = set()
    with suppress(OSError):
        infos = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        found.update(str(info[4][0]) for info in infos)
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: connecting a datagram socket only picks the interface of the route.
        probe.connect(("192.0.2.1", 9))
        found.add(probe.getsockname()[0])
    return sorted(address for address in found if not _is_loopback(address))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
