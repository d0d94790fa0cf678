"""Route `GET /v1/audit`: events, newest first, filtered and paged."""

from typing import Annotated

import msgspec
from flask import Blueprint

from tokensvc.audit.rules import AuditEvent
from tokensvc.audit.service import AuditTrail
from tokensvc.core.callers import Authorize
from tokensvc.core.scopes import Scope
from tokensvc.http.body import NO_NUL, parse_query
from tokensvc.http.parameters import PageQuery, page_of
from tokensvc.http.respond import Response, json_response

FilterValue = Annotated[str, msgspec.Meta(pattern=NO_NUL)]


class AuditQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """Query of the audit trail: events that have all of these values."""

    actor: FilterValue | None = None
    action: FilterValue | None = None
    subject: FilterValue | None = None
    outcome: FilterValue | None = None
    request_id: FilterValue | None = None


def routes(trail: AuditTrail, authorize: Authorize) -> Blueprint:
    """Return the route of the audit trail."""
    blueprint = Blueprint("audit", __name__)

    @blueprint.get("/v1/audit")
    def get_events() -> Response:
        query = parse_query(AuditQuery)
        authorize(Scope.AUDIT_READ)
        found = trail.page(after=query.after, limit=query.limit + 1, filters=_filters(query))
        return json_response(page_of(found, query.limit, _id))

    return blueprint


def _filters(query: AuditQuery) -> dict[str, str]:
    """Return the requested value of each column."""
    members = msgspec.structs.asdict(query)
    return {
        name: value
        for name, value in members.items()
        if value is not None and name not in PageQuery.__struct_fields__
    }


def _id(event: AuditEvent) -> str:
    return event.id
