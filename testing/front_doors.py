"""The shipped configurations of nginx, HAProxy and Caddy, run on free ports."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from testing.service import ROOT, free_port
from testing.waiting import is_listening, wait_until

_PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
_NGINX = """
daemon off;
pid nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include tokensvc/tokensvc.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """
    A balancer that runs.

    Attributes:
        name: Name of its program.
        url: Its URL.
        log_path: Its log.
    """

    name: str
    url: str
    log_path: Path


@contextlib.contextmanager
def running_front_door(
    name: str, folder: Path, instances: Sequence[str], certificate: trustme.LeafCert
) -> Iterator[FrontDoor]:
    """
    Run a balancer with its shipped configuration until the block ends.

    Args:
        name: `nginx`, `haproxy` or `caddy`.
        folder: Empty folder for its files.
        instances: `host:port` of two instances, for Caddy of one.
        certificate: Certificate of 127.0.0.1.
    """
    ports = (free_port(), free_port())
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
    command = _PREPARE[name](folder, ports, instances)
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [program(name) or name, *command],
            env={**os.environ, **_environ(ports, instances)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def is_ready() -> bool:
        assert process.poll() is None, log_path.read_text()
        return is_listening(ports[1])

    try:
        wait_until(is_ready, f"{name} listens")
        yield FrontDoor(name, f"https://127.0.0.1:{ports[1]}", log_path)
    finally:
        process.terminate()
        process.wait()


def program(name: str) -> str | None:
    """Return the path of a balancer; `None` if it is not installed (Debian: `apt-get install`)."""
    return shutil.which(name, path=_PATH)


def _nginx(folder: Path, ports: tuple[int, int], instances: Sequence[str]) -> list[str]:
    (folder / "tokensvc").mkdir()
    _copy("nginx/instances.conf", folder / "tokensvc/instances.conf", _addresses(instances))
    replaced = {
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "listen 80;": f"listen 127.0.0.1:{ports[0]};",
        "listen 443 ": f"listen 127.0.0.1:{ports[1]} ",
        "/etc/ssl/tokensvc/fullchain.pem": f"{folder}/tls.pem",
        "/etc/ssl/tokensvc/key.pem": f"{folder}/tls.pem",
    }
    _copy("nginx/tokensvc.conf", folder / "tokensvc/tokensvc.conf", replaced)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(user=user))
    return ["-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


def _haproxy(folder: Path, ports: tuple[int, int], instances: Sequence[str]) -> list[str]:
    replaced = {
        "bind :80\n": f"bind 127.0.0.1:{ports[0]}\n",
        "bind :443 ": f"bind 127.0.0.1:{ports[1]} ",
        "/etc/haproxy/tokensvc.pem": f"{folder}/tls.pem",
    }
    _copy("haproxy/haproxy.cfg", folder / "haproxy.cfg", replaced | _addresses(instances))
    return ["-f", str(folder / "haproxy.cfg")]


def _caddy(folder: Path, ports: tuple[int, int], _instances: Sequence[str]) -> list[str]:
    replaced = {
        "{\n\tservers": f"{{\n\tadmin off\n\thttp_port {ports[0]}\n\tservers",
        "\treverse_proxy": f"\ttls {folder}/tls.pem {folder}/tls.pem\n\treverse_proxy",
    }
    _copy("caddy/Caddyfile", folder / "Caddyfile", replaced)
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def _environ(ports: tuple[int, int], instances: Sequence[str]) -> dict[str, str]:
    """Return the variables of Caddy's configuration."""
    return {
        "TOKENSVC_PUBLIC_URL": f"https://127.0.0.1:{ports[1]}",
        "TOKENSVC_UPSTREAM": instances[0],
    }


_PREPARE: dict[str, Callable[[Path, tuple[int, int], Sequence[str]], list[str]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
}
"""Functions that write the files of a balancer and return its arguments."""


def _addresses(instances: Sequence[str]) -> dict[str, str]:
    return dict(zip(("10.0.0.11:8000", "10.0.0.12:8000"), instances, strict=True))


def _copy(source: str, target: Path, replaced: dict[str, str]) -> None:
    text = (ROOT / "deploy" / source).read_text()
    for old, new in replaced.items():
        assert old in text, f"{source} has no {old!r}"
        text = text.replace(old, new)
    target.write_text(text)
