"""Start the demo, and print its address."""

import signal
import sys
import tempfile
from pathlib import Path

import click
from werkzeug.serving import WSGIRequestHandler, make_server

from development.guide import check_port_free, split_bind
from testing.demo.scene import running_scene
from testing.demo.site import make_site
from testing.node import install_packages

TEXT = """
The demo is at {url}

Two people chat there with tokens of a real tokensvc and a Stream that runs on this machine. In a
third pane you are the operator: suspend a user, sign them out, rotate the Stream key, stop the
service. Nothing leaves this machine, and nothing is kept. The page says what to try.

Ctrl-C stops the demo.
"""


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Write nothing: the page polls."""


@click.command()
@click.option("--bind", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT")
def main(bind: str) -> None:
    """Run the demo until Ctrl-C."""
    host, port = split_bind(bind)
    if host in {"0.0.0.0", "[::]"}:
        raise click.BadParameter("name one address of this machine, which the page then uses")
    check_port_free(host, port, "make demo DEMO_BIND=")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    click.echo("Starting. The first start installs the npm packages of the page …")
    packages = install_packages()
    url = f"http://{host}:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="tokensvc-demo-") as folder,
        running_scene(Path(folder), url) as scene,
    ):
        site = make_site(scene, packages, url)
        server = make_server(host, port, site, threaded=True, request_handler=_Quiet)
        click.echo(TEXT.format(url=url))
        server.serve_forever()


if __name__ == "__main__":
    main()
