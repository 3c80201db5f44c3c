"""The audit log of an organization, by page or complete, and that of your account."""

from typing import Annotated, Any

import msgspec
from litestar.response import Stream

from loadbell.accounts import audit
from loadbell.api.answers import Page
from loadbell.api.bodies import InstantText, span
from loadbell.api.routes import route
from loadbell.domain.orgs import Principal, SignedIn
from loadbell.entry.audit_export import BATCH_SIZE, JSON_LINES, AuditEntry, export_entries, to_audit_entry
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.path_ids import check_id
from loadbell.entry.requests import ApiRequest
from loadbell.store.audit import Entry
from loadbell.store.unit_of_work import UnitOfWork

Verb = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z_.]+$", max_length=100, description="The full action, such as `channel.changed`."),
]


class AuditPage(Page[AuditEntry]):
    """A page of the log, newest first, sometimes fewer than `limit`. `next_cursor` is null on the last."""


class ExportQuery(msgspec.Struct, kw_only=True):
    """Filters for entries. `since` is inclusive, `until` exclusive."""

    user_id: int | None = None
    action: Verb | None = None
    since: InstantText | None = None
    until: InstantText | None = None


class AuditQuery(PageQuery, kw_only=True):
    """Filters for entries, and the page."""

    user_id: int | None = None
    action: Verb | None = None
    since: InstantText | None = None
    until: InstantText | None = None


@route("GET", "/organizations/{organization_id}/audit", "Read the audit log", refusals=(404,))
async def list_audit(unit: UnitOfWork[Principal], organization_id: int, query: AuditQuery) -> AuditPage:
    """Who changed what, when and from where, newest first.

    One request looks at a limited part of the log: a page may hold few entries, or none, and have a `next_cursor`.
    """
    return _page(*await _list_entries(unit, organization_id, query, query.before_id(), query.limit))


@route(
    "GET",
    "/organizations/{organization_id}/audit/export",
    "Export the audit log",
    refusals=(404,),
    answers={200: AuditEntry},
    media_type=JSON_LINES,
)
async def export_audit(request: ApiRequest, organization_id: int, query: ExportQuery) -> Stream:
    """The complete log as JSON Lines, newest first. If it can't be completed, the connection is closed early."""
    lines = await export_entries(lambda before: request.read(_list_entries, organization_id, query, before, BATCH_SIZE))
    return Stream(lines, media_type=JSON_LINES, headers={"Cache-Control": "no-store"})


@route("GET", "/account/audit", "Read the log of your account")
async def list_account_audit(unit: UnitOfWork[SignedIn], query: PageQuery) -> AuditPage:
    """The log of your account: sign-ins, passwords, sessions; newest first."""
    return _page(*await audit.list_account_entries(unit, before=query.before_id(), limit=query.limit))


async def _list_entries(
    unit: UnitOfWork[Principal], organization_id: int, query: AuditQuery | ExportQuery, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    since, until = span(query.since, query.until)
    return await audit.list_entries(
        unit,
        organization_id,
        user_id=None if query.user_id is None else check_id(query.user_id, "user"),
        action=query.action,
        since=since,
        until=until,
        before=before,
        limit=limit,
    )


def _page(entries: list[Entry], following: int | None) -> AuditPage:
    return AuditPage([to_audit_entry(entry) for entry in entries], cursor_after(following))


HANDLERS: list[Any] = [list_audit, export_audit, list_account_audit]
