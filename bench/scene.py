"""What every measurement needs: a folder, an identity provider, processes that sign."""

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import credentials
from bench.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Scene:
    """
    The place of a measurement.

    Attributes:
        folder: Temporary folder.
        public_key_file: Public key of the identity provider.
        credentials: Source of credentials.
    """

    folder: Path
    public_key_file: Path
    credentials: Credentials


@contextlib.contextmanager
def scene(users: int = credentials.USERS) -> Iterator[Scene]:
    """Prepare a measurement with this number of users; remove everything afterwards."""
    size = os.cpu_count() or 1
    with (
        tempfile.TemporaryDirectory(prefix="tokensvc-bench-") as name,
        # Spawned, not forked: they must not inherit the memory of this process.
        ProcessPoolExecutor(size, multiprocessing.get_context("spawn")) as pool,
    ):
        keys = credentials.make_key_pair()
        public_key_file = Path(name) / "identity-provider.pem"
        public_key_file.write_bytes(keys.public_pem)
        yield Scene(Path(name), public_key_file, Credentials(keys, pool, size, users))
