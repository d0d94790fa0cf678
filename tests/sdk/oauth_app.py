"""A service with built-in accounts at the URL that its metadata names, for OAuth clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testing.account_world import AccountWorld, running_account_world
from testing.service import free_port


@contextmanager
def running_oauth_app(folder: Path) -> Iterator[AccountWorld]:
    """Run the service until the block ends."""
    bind = f"127.0.0.1:{free_port()}"
    settings = {
        "TOKENSVC_ENVIRONMENT": "development",
        "TOKENSVC_BIND": bind,
        "TOKENSVC_PUBLIC_URL": f"http://{bind}",
    }
    with running_account_world(folder, **settings) as world:
        yield world
