"""The audit log of an organization: read by the page, or whole; and that of one's own account."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.response import Response, Stream

from loadbell.accounts import audit
from loadbell.api.answers import Page
from loadbell.api.bodies import InstantText, span
from loadbell.api.operations import Credential, Operation, described
from loadbell.domain.orgs import Principal, SignedIn
from loadbell.entry.audit_lines import AT_ONCE, JSON_LINES, AuditEntry, exported, shown
from loadbell.entry.identifiers import check_id
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.requests import ApiRequest, SessionRequest, answer
from loadbell.store.audit import Entry
from loadbell.store.unit_of_work import UnitOfWork

Verb = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z_.]+$", max_length=100, description="The whole word, such as `channel.changed`."),
]


class AuditPage(Page[AuditEntry]):
    """A page of the log, newest first, at times with fewer entries than `limit`. `next_cursor` is null on the last."""


class ExportQuery(msgspec.Struct, kw_only=True):
    """Which entries. `since` is included, `until` is not."""

    user_id: int | None = None
    action: Verb | None = None
    since: InstantText | None = None
    until: InstantText | None = None


class AuditQuery(PageQuery, kw_only=True):
    """Which entries, and which page of them."""

    user_id: int | None = None
    action: Verb | None = None
    since: InstantText | None = None
    until: InstantText | None = None


async def _look(
    unit: UnitOfWork[Principal], organization_id: int, wanted: AuditQuery | ExportQuery, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    since, until = span(wanted.since, wanted.until)
    return await audit.list_entries(
        unit,
        organization_id,
        user_id=None if wanted.user_id is None else check_id(wanted.user_id, "user"),
        action=wanted.action,
        since=since,
        until=until,
        before=before,
        limit=limit,
    )


@get(
    "/organizations/{organization_id:str}/audit",
    **described(Operation("Read the audit log", {200: AuditPage}, query=AuditQuery, refusals=(404,))),
)
async def list_audit(call: NamedDependency[ApiRequest]) -> Response[bytes]:
    """Who changed what, when and from where, newest first.

    One request looks at a limited part of the log: a page may hold few entries, or none, and have a `next_cursor`.
    """

    async def work(unit: UnitOfWork[Principal]) -> AuditPage:
        organization_id, wanted = call.integer_id("organization_id", "organization"), call.query(AuditQuery)
        return _page(*await _look(unit, organization_id, wanted, wanted.before_id(), wanted.limit))

    return answer(HTTPStatus.OK, await call.read(work))


@get(
    "/organizations/{organization_id:str}/audit/export",
    **described(
        Operation("Export the audit log", {200: AuditEntry}, query=ExportQuery, refusals=(404,), media_type=JSON_LINES)
    ),
)
async def export_audit(call: NamedDependency[ApiRequest]) -> Stream:
    """The whole log as JSON lines, one entry a line, newest first. If it can't be finished, the connection is cut."""

    async def look(before: int | None) -> tuple[list[Entry], int | None]:
        async def work(unit: UnitOfWork[Principal]) -> tuple[list[Entry], int | None]:
            organization_id, wanted = call.integer_id("organization_id", "organization"), call.query(ExportQuery)
            return await _look(unit, organization_id, wanted, before, AT_ONCE)

        return await call.read(work)

    return Stream(await exported(look), media_type=JSON_LINES, headers={"Cache-Control": "no-store"})


@get(
    "/account/audit",
    **described(
        Operation("Read the log of your account", {200: AuditPage}, query=PageQuery, credential=Credential.SESSION)
    ),
)
async def list_account_audit(personal: NamedDependency[SessionRequest]) -> Response[bytes]:
    """What happened to your own account: signing in, passwords, sessions; newest first."""

    async def work(unit: UnitOfWork[SignedIn]) -> AuditPage:
        wanted = personal.query(PageQuery)
        found, following = await audit.list_account_entries(unit, before=wanted.before_id(), limit=wanted.limit)
        return _page(found, following)

    return answer(HTTPStatus.OK, await personal.read(work))


def _page(entries: list[Entry], following: int | None) -> AuditPage:
    return AuditPage([shown(entry) for entry in entries], cursor_after(following))


HANDLERS: list[Any] = [list_audit, export_audit, list_account_audit]
