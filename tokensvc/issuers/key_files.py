"""The files in which an operator gives the public keys of issuers."""

from collections.abc import Iterable
from pathlib import Path

from tokensvc.core.errors import StartupError
from tokensvc.issuers.keyset import KeySet, KeySetError, parse_pem_file
from tokensvc.issuers.settings import IssuerSettings


def read_key_files(issuers: Iterable[IssuerSettings]) -> dict[str, KeySet]:
    """
    Return the keys of each issuer that has a key file, by the issuer's name.

    Raises:
        StartupError: A file is unusable. The text names the issuer, the setting and the file.
    """
    return {
        issuer.name: _read(issuer.name, issuer.public_keys_file)
        for issuer in issuers
        if issuer.public_keys_file is not None
    }


def _read(name: str, file: Path) -> KeySet:
    try:
        return parse_pem_file(file.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
    except KeySetError as error:
        problem = str(error)
    raise StartupError(f"issuers: {name}: public_keys_file: {file} {problem}")
