"""OpenID Connect Discovery 1.0: the URLs of an issuer's metadata and keys. Pure."""

import json

from tokensvc.net.fetch import FetchError


def metadata_url(issuer: str) -> str:
    """Return the URL of an issuer's metadata (section 4: without a final slash)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def jwks_uri_of(metadata: bytes, issuer: str) -> str:
    """
    Return the URL of the keys in the metadata.

    Raises:
        FetchError: The document is not metadata, or is of another issuer. Section 4.3 requires
            equality; otherwise one tenant of a provider could impersonate another.
    """
    try:
        content = json.loads(metadata.decode("utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("jwks_uri"), str):
        raise FetchError("the metadata has no jwks_uri")
    if content.get("issuer") != issuer:
        raise FetchError("the metadata is of another issuer: `issuer` must be equal")
    jwks_uri: str = content["jwks_uri"]
    return jwks_uri
