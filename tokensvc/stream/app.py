"""The Stream app: its identity, and the settings of it that decide what a token is worth. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from tokensvc.core.findings import Finding, State


class StreamApp(msgspec.Struct, frozen=True, kw_only=True):
    """
    The members of the app in `GET /app` that the service reads.

    No other member is decoded: the response also has the secrets of the app's message queues.

    Attributes:
        id: Stream's number; `None` in the older form of `GET /app`.
        name: Name of the app, unique in its organization. Untrusted text.
        organization: Name of the app's owner. Untrusted text.
        organization_name: Name of the app's owner in the older form.
        disable_auth_checks: Whether Stream verifies no token.
        disable_permissions_checks: Whether Stream allows every user everything.
        suspended: Whether Stream has suspended the app.
        guest_user_creation_disabled: Whether no client can create a guest.
        revoke_tokens_issued_before: Cut-off of the app.
        unknown: Names of members whose value has another type than Stream documents.
    """

    id: int | None = None
    name: str | None = None
    organization: str | None = None
    organization_name: str | None = None
    disable_auth_checks: bool = False
    disable_permissions_checks: bool = False
    suspended: bool = False
    guest_user_creation_disabled: bool = False
    revoke_tokens_issued_before: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    unknown: tuple[str, ...] = ()

    def is_same_as(self, other: "StreamApp") -> bool:
        """Return whether both are certainly the same app."""
        if self.id is not None and other.id is not None:
            return self.id == other.id
        return bool(self.name) and (self.owner, self.name) == (other.owner, other.name)

    @property
    def owner(self) -> str | None:
        """Name of the app's owner, in either form of `GET /app`."""
        return self.organization or self.organization_name


class _Content(msgspec.Struct):
    app: dict[str, msgspec.Raw]


_CONTENT: Final = msgspec.json.Decoder(_Content)
_MEMBERS: Final = {
    member.name: msgspec.json.Decoder(member.type)
    for member in msgspec.structs.fields(StreamApp)
    if member.name != "unknown"
}


def read_app(body: bytes) -> StreamApp:
    """
    Return the app in the body of a `GET /app` response.

    A member of another type has its default, and its name is in `unknown`: the others count.

    Raises:
        ValueError: There is none. The text has no value of the body.
    """
    try:
        members = _CONTENT.decode(body).app
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    known: dict[str, Any] = {}
    unknown = []
    for name in sorted(_MEMBERS.keys() & members.keys()):
        try:
            known[name] = _MEMBERS[name].decode(members[name])
        except msgspec.ValidationError:
            unknown.append(name)
    return StreamApp(**known, unknown=tuple(unknown))


_FINDINGS: Final[Mapping[str, Finding]] = {
    "disable_auth_checks": Finding(
        State.FAILED,
        "Stream verifies no token: anyone who has the API key can connect as any user. Turn "
        "`disable_auth_checks` off in Stream's dashboard",
    ),
    "disable_permissions_checks": Finding(
        State.DEGRADED,
        "Stream allows every user everything: turn `disable_permissions_checks` off in Stream's "
        "dashboard",
    ),
    "suspended": Finding(
        State.DEGRADED, "Stream has suspended the app: no client can connect. Ask Stream's support"
    ),
    "revoke_tokens_issued_before": Finding(
        State.OK,
        "Stream refuses tokens from before {cut_off}, a time that this service did not set: "
        "someone else signed out everyone",
    ),
    "guests_allowed": Finding(
        State.OK,
        "clients can connect as guests without this service: `guest_user_creation_disabled` is off",
    ),
    "unknown_settings": Finding(
        State.DEGRADED,
        "this release cannot read {unknown} of the Stream app: check in Stream's dashboard whether "
        "tokens are verified, and update the service",
    ),
}
FINDING_NAMES: Final = tuple(_FINDINGS)


def find(app: StreamApp, floor: int) -> dict[str, Finding]:
    """
    Return what an operator should know about the settings of an app, by name.

    Args:
        floor: Highest cut-off of all users that this service ever set, in epoch seconds.
    """
    cut_off = app.revoke_tokens_issued_before
    applies = {
        "disable_auth_checks": app.disable_auth_checks,
        "disable_permissions_checks": app.disable_permissions_checks,
        "suspended": app.suspended,
        # Not the cut-off in effect: after an undo, Stream has it until the undo is delivered.
        "revoke_tokens_issued_before": cut_off is not None and cut_off.timestamp() > floor,
        "guests_allowed": not app.guest_user_creation_disabled,
        "unknown_settings": bool(app.unknown),
    }
    facts = {"cut_off": cut_off, "unknown": ", ".join(f"`{name}`" for name in app.unknown)}
    return {
        name: finding._replace(detail=finding.detail.format_map(facts))
        for name, finding in _FINDINGS.items()
        if applies[name]
    }
