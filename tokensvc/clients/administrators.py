"""What the service or operator that changes clients may grant at that moment. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from tokensvc.clients import rules
from tokensvc.clients.rules import Administrator
from tokensvc.clients.state import ServiceClient
from tokensvc.core.errors import Code, Refusal


def with_current_rights(
    administrator: Administrator, found: Mapping[str, ServiceClient], now: float
) -> Administrator:
    """
    Return an administrator with its current rights. An operator's never change.

    Args:
        found: Locked clients by ID, with the administrator's.

    Raises:
        Refusal: `credentials_invalid` or `credentials_expired` after the loss of its secret;
            `insufficient_scope` after the loss of its scope.
    """
    if administrator.client_id is None:
        return administrator
    client = found.get(administrator.client_id)
    secrets = client.secrets if client is not None else []
    secret = next((stored for stored in secrets if stored.id == administrator.secret_id), None)
    if client is None or secret is None:
        raise Refusal(Code.CREDENTIALS_INVALID, "The client or its secret was deleted.")
    if secret.has_expired(now):
        raise Refusal(Code.CREDENTIALS_EXPIRED, "The secret has expired: add another one.")
    rights = client.rights
    if administrator.token_scopes is not None:
        rights = replace(rights, scopes=rights.scopes & administrator.token_scopes)
    rules.check_may_manage_clients(rights)
    return replace(administrator, rights=rights, expires_at=secret.expires_at)
