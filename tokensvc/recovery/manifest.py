"""The manifest next to a backup: where it is from, and whether the file is still the same."""

import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from tokensvc.core.errors import StartupError
from tokensvc.database import schema

_FORMAT = 1
_PRODUCT: Literal["tokensvc"] = "tokensvc"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a backup contains. It has no secret.

    Attributes:
        product: Name of this service.
        format: Version of the manifest.
        id: Random ID of the backup.
        created_at: Time of the backup, in epoch seconds.
        release: Release that made it.
        database: Kind of the database.
        schema: Revision of the schema.
        environment: Environment that made the database.
        ring_version: Counter and random ID of the ring of Stream keys.
        last_event: ID of the last audit event that it has at least; `None` without any.
        encryption_keys: Fingerprints of the encryption keys that its secrets need.
        size: Number of bytes of the file; `None` until the file was checked.
        sha256: Hash of the file; `None` until the file was checked.
    """

    product: Literal["tokensvc"] = _PRODUCT
    format: int = _FORMAT
    id: str
    created_at: int
    release: str
    database: Literal["sqlite", "postgresql"]
    schema: str
    environment: str
    ring_version: tuple[int, str]
    last_event: str | None
    encryption_keys: list[str]
    size: int | None = None
    sha256: str | None = None


def path_of(backup: Path) -> Path:
    """Return the path of a backup's manifest."""
    return backup.with_name(f"{backup.name}.manifest.json")


def write(manifest: Manifest, backup: Path) -> None:
    """
    Write the manifest of a backup, completely or not at all.

    Raises:
        OSError: It cannot be written.
    """
    path = path_of(backup)
    draft = path.with_name(f"{path.name}.new")
    content = msgspec.json.format(msgspec.json.encode(manifest))
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def read(backup: Path) -> Manifest:
    """
    Read the manifest of a backup.

    Raises:
        StartupError: It is missing, not a manifest, or from a newer release.
    """
    path = path_of(backup)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StartupError(
            f"Cannot read {path}: {error.strerror}. `tokensvc backup` writes it: copy it next to "
            "the backup. Another file is not a backup of this service."
        ) from error
    try:
        found = msgspec.json.decode(content)
        if isinstance(found, dict) and found.get("product") == _PRODUCT:
            _check_format(found.get("format"), path)
        return msgspec.convert(found, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StartupError(
            f"{path} is damaged or not a manifest of tokensvc: {error}. Copy it again, or use "
            "another backup."
        ) from error


def with_hash(manifest: Manifest, backup: Path) -> Manifest:
    """
    Return a manifest with the size and the hash of the file.

    Raises:
        OSError: The file cannot be read.
    """
    return msgspec.structs.replace(manifest, size=backup.stat().st_size, sha256=_sha256_of(backup))


def check(manifest: Manifest, backup: Path, *, database: str, environment: str) -> None:
    """
    Check that a backup is complete and fits this release, its database and its environment.

    Raises:
        StartupError: It does not. The text says what to do.
    """
    if manifest.database != database:
        raise StartupError(
            f"{backup} is a backup of {manifest.database}, and `database_url` names {database}: "
            "restore it there."
        )
    if manifest.schema > schema.head():
        raise _newer(
            backup, f"its schema is {manifest.schema}, that of this release {schema.head()}"
        )
    if manifest.environment != environment:
        raise StartupError(
            f"{backup} is from a database of {manifest.environment}, and the settings say "
            f"{environment}: its keys and clients are not for {environment}. Set `environment` to "
            f"{manifest.environment}, or use another backup."
        )
    if manifest.sha256 is None:
        raise StartupError(
            f"{backup} was not checked: run `tokensvc backup {backup}` again where it was made."
        )
    try:
        whole = manifest.size == backup.stat().st_size and manifest.sha256 == _sha256_of(backup)
    except OSError as error:
        raise StartupError(f"Cannot read {backup}: {error.strerror}.") from error
    if not whole:
        raise StartupError(
            f"{backup} is damaged or incomplete: its size or SHA-256 is not that of its manifest. "
            "Copy it again, or use another backup."
        )


def _check_format(found: object, path: Path) -> None:
    if isinstance(found, int) and found > _FORMAT:
        raise _newer(path, f"its format is {found}, that of this release {_FORMAT}")


def _newer(path: Path, why: str) -> StartupError:
    return StartupError(
        f"{path} is from a newer release: {why}. Install that release, then restore."
    )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
