"""The services of a process in this process."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY

from testing.doubles.issuer import IssuerDouble
from testing.service import EVERYTHING, NO_LIMITS, settings_environ
from testing.sessions import ENCRYPTION_KEY
from tokensvc.app import startup
from tokensvc.app.services import Services
from tokensvc.config.loader import load


@contextlib.contextmanager
def built_services(folder: Path, issuer: IssuerDouble, database_url: str) -> Iterator[Services]:
    """Build the services with built-in accounts, one issuer and delivery to an absent Stream."""
    settings = load(
        settings_environ(
            folder,
            STREAM_BASE_URL="http://127.0.0.1:9",
            TOKENSVC_STREAM__DELIVERY="on",
            TOKENSVC_ISSUERS=json.dumps([issuer.config()]),
            TOKENSVC_SHARED_USER_IDS="true",
            TOKENSVC_DATABASE_URL=database_url,
            TOKENSVC_ENCRYPTION_KEYS=json.dumps([ENCRYPTION_KEY]),
            **EVERYTHING,
            **NO_LIMITS,
        )
    )
    startup.create_database(settings)
    services = startup.prepare(settings)
    yield services
    services.close()


def figure(name: str, **labels: str) -> float | None:
    """Return the value of a series of this process; `None` if it does not exist."""
    return REGISTRY.get_sample_value(name, labels)
