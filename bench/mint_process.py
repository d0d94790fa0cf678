"""The process of `bench.minting`, which mints without sockets, and its requests."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.compare import NO_LIMIT
from bench.credentials import Credentials, make_key_pair
from bench.measure import request
from bench.systems import SERVICE, Stage, StartError
from testing.service import ROOT


class MintProcess:
    """
    A process that mints on command.

    Attributes:
        folder: Temporary folder.
        environ: Environment of the process.
        pid: Process ID.
    """

    def __init__(self, folder: Path, environ: dict[str, str], command: Sequence[str]) -> None:
        self.folder = folder
        self.environ = environ
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [part.format(folder=folder) for part in command],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.pid = self._process.pid
        self._expect("ready")

    def mint(self, count: int) -> None:
        """Mint `count` tokens."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        self._expect("done")

    def end(self) -> None:
        """Let the process end itself."""
        self._process.communicate()

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # the service logs to the same stream
            if line.strip() == word:
                return
        log = (self.folder / "log").read_text()
        raise StartError(f"the process that mints has ended\n{log[-4000:]}")


@contextlib.contextmanager
def mint_process(mints: int, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[MintProcess]:
    """
    Run a process that can mint `mints` tokens.

    Args:
        mints: Number of requests.
        arguments: Further arguments of `bench.minting`; `{folder}` is the temporary folder.
        prefix: Command that runs Python, such as valgrind's.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tokensvc-mint-") as name,
        ThreadPoolExecutor(1) as pool,
    ):
        folder = Path(name)
        keys = make_key_pair()
        public_key_file = folder / "identity-provider.pem"
        public_key_file.write_bytes(keys.public_pem)
        asked = Credentials(keys, pool, 1).take(mints)
        (folder / "requests.json").write_text(
            json.dumps([request(one, 8000).decode() for one in asked])
        )
        stage = Stage(folder, public_key_file, workers=1, settings=NO_LIMIT)
        environ = stage.environ(folder, 8000, SERVICE) | {"PYTHONHASHSEED": "0"}
        command = (*prefix, sys.executable, "-m", "bench.minting", "{folder}/requests.json")
        process = MintProcess(folder, environ, (*command, *arguments))
        try:
            yield process
        finally:
            process.kill()
