"""Files that only their owner may read."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def read_or_create(path: Path, new_content: Callable[[], str]) -> str:
    """
    Return the content of a file. If it does not exist, create it with mode 0600.

    A new file is complete and survives a power failure after the return. If several processes
    start, all return the content of the first.

    Raises:
        OSError: The file cannot be read or created.
        UnicodeDecodeError: The file is not UTF-8.
    """
    if not path.exists():
        _create(path, new_content())
    return path.read_text("utf-8")


def _create(path: Path, content: str) -> None:
    """Create a file completely or not at all. An existing file stays unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)  # unlike a rename, never replaces a file
    finally:
        Path(draft).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
