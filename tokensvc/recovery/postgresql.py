"""The commands of PostgreSQL that dump and restore a database, and the check of a dump."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tokensvc.core.errors import StartupError
from tokensvc.database.origin import MARKER_TABLE

_TABLE_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA \S+ (\S+) ", re.MULTILINE)
_NEEDED = frozenset({"audit_events", "sessions", "stream_keys"})


def dump_line(backup: Path, url: str) -> str:
    """
    Return the command that dumps the database, without the marker of the live database.

    Args:
        url: URL without a password.
    """
    return shlex.join(
        [
            "pg_dump",
            "--format=custom",
            "--no-owner",
            f"--exclude-table-data=*.{MARKER_TABLE}",
            f"--file={backup}",
            url,
        ]
    )


def restore_line(backup: Path, url: str) -> str:
    """
    Return the command that restores a dump into an empty database.

    Args:
        url: URL without a password.
    """
    return shlex.join(
        [
            "pg_restore",
            "--no-owner",
            "--exit-on-error",
            "--single-transaction",
            f"--dbname={url}",
            str(backup),
        ]
    )


def check_dump(backup: Path) -> None:
    """
    Check that a dump can be read to its end and lacks only the marker.

    Raises:
        StartupError: It cannot be used. The text says what to do.
    """
    program = shutil.which("pg_restore")
    if program is None:
        raise StartupError(
            "The dump was not checked: install `pg_restore` (PostgreSQL's client programs), then "
            "run this again."
        )
    tables = set(_TABLE_DATA.findall(_run(program, "--list", backup)))
    if missing := _NEEDED - tables:
        raise StartupError(
            f"{backup} is not a dump of this service: it lacks {', '.join(sorted(missing))}. "
            "Delete it and run `tokensvc backup` again."
        )
    if MARKER_TABLE in tables:
        raise StartupError(
            f"{backup} contains the marker of the live database: a restored database would be "
            "taken for the live one. Delete it, and run the printed command as it is."
        )
    _run(program, "--file=/dev/null", backup)


def _run(program: str, option: str, backup: Path) -> str:
    ended = subprocess.run(  # noqa: S603 - no shell; the file is an argument
        [program, option, str(backup)],
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
    )
    if ended.returncode:
        reason = ended.stderr.strip().splitlines() or ["no reason given"]
        raise StartupError(
            f"{backup} is damaged, incomplete or not a dump ({reason[-1]}). Delete it and run "
            "`tokensvc backup` again."
        )
    return ended.stdout
