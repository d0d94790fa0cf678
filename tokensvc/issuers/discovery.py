"""OpenID Connect Discovery 1.0: where an issuer's metadata is, and which keys it names. Pure."""

import json

from tokensvc.net.fetch import FetchError


def metadata_url(issuer: str) -> str:
    """Give the address of an issuer's metadata (section 4: a final slash is left out)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def jwks_uri_of(metadata: bytes, issuer: str) -> str:
    """
    Give the address of the keys that metadata names.

    Raises:
        FetchError: It is no metadata, or another issuer's: section 4.3 asks for equality, or one
            tenant of a provider could speak for another.
    """
    try:
        content = json.loads(metadata.decode("utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("jwks_uri"), str):
        raise FetchError("the metadata names no jwks_uri")
    if content.get("issuer") != issuer:
        raise FetchError("the metadata is that of another issuer: `issuer` must be equal exactly")
    jwks_uri: str = content["jwks_uri"]
    return jwks_uri
