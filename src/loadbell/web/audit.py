"""The audit log of an organization, to be read, and to be taken along as JSON lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.response import Stream

from loadbell.accounts import audit, members
from loadbell.domain.errors import Invalid, NotFound, Refused
from loadbell.domain.orgs import Principal
from loadbell.entry.audit_export import BATCH_SIZE, JSON_LINES, export_entries
from loadbell.entry.paging import PageQuery, cursor_after
from loadbell.entry.path_ids import parse_integer_id
from loadbell.store.audit import Entry
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.datetimes import parse_datetime
from loadbell.web.page import PageRequest
from loadbell.web.rendering import HEADERS

PAGE_SIZE = 50
"""Entries that one page lists."""

_MAX_MEMBERS = 1_000  # to choose from
_MAX_VALUE_LENGTH = 300


@dataclass(frozen=True)
class AuditFilter:
    """Which entries."""

    user_id: int | None = None
    action: str = ""
    since: str = ""
    until: str = ""

    def query(self, **more: str) -> str:
        """The query string that asks for them."""
        user = "" if self.user_id is None else str(self.user_id)
        values = {"user_id": user, "action": self.action, "since": self.since, "until": self.until, **more}
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class AuditLogView:
    """A page of the log, and the users to filter by."""

    entries: Sequence[Entry]
    following: int | None
    people: Sequence[tuple[int, str]]


@get("/organizations/{organization_id:str}/audit")
async def show(page: NamedDependency[PageRequest]) -> Response[str]:
    """Who changed what, when and from where, newest first."""
    await page.require_account()
    organization_id = _id(page)
    refusal: Refused | None = None
    try:
        filter_ = _parse_filter(page)
        before = PageQuery(cursor=page.query_param("cursor") or None).before_id()
    except (Invalid, NotFound) as wrong:  # NotFound: no user can have that id
        refusal, filter_, before = wrong, AuditFilter(), None
    audit_log_view = await page.read_in(organization_id, _entries_and_people, filter_, before)
    older = cursor_after(audit_log_view.following)
    address = f"/organizations/{organization_id}/audit"
    return await page.show(
        "audit",
        refusal=refusal,
        address=address,
        organization_id=organization_id,
        listed=audit_log_view,
        wanted=filter_,
        query=filter_.query(),
        older=None if older is None else f"{address}?{filter_.query(cursor=older)}",
        describe=describe_changes,
    )


@get("/organizations/{organization_id:str}/audit/export")
async def export(page: NamedDependency[PageRequest]) -> Stream:
    """All entries that the filters leave, as JSON lines, newest first. If it can't be finished, the file is cut."""
    await page.require_account()
    organization_id, filter_ = _id(page), _parse_filter(page)
    lines = await export_entries(
        lambda before: page.read_in(organization_id, _list_entries, filter_, before, BATCH_SIZE)
    )
    name = f'attachment; filename="audit-{organization_id}.jsonl"'
    return Stream(lines, media_type=JSON_LINES, headers={**HEADERS, "Content-Disposition": name})


def describe_changes(changes: Mapping[str, Any]) -> list[str]:
    """What an entry says, a line for each thing."""
    lines = []
    for name, change in changes.items():
        if isinstance(change, Mapping) and set(change) == {"before", "after"}:
            lines.append(f"{name}: {_to_text(change['before'])} → {_to_text(change['after'])}")
        else:
            lines.append(f"{name}: {_to_text(change)}")
    return lines


async def _entries_and_people(unit: UnitOfWork[Principal], filter_: AuditFilter, before: int | None) -> AuditLogView:
    entries, following = await _list_entries(unit, filter_, before, PAGE_SIZE)
    people = await members.list_members(unit, unit.principal.organization_id, before=None, limit=_MAX_MEMBERS)
    emails = ((member.user_id, member.email) for member in people)
    return AuditLogView(entries, following, sorted(emails, key=lambda pair: pair[1]))


async def _list_entries(
    unit: UnitOfWork[Principal], filter_: AuditFilter, before: int | None, limit: int
) -> tuple[list[Entry], int | None]:
    return await audit.list_entries(
        unit,
        unit.principal.organization_id,
        user_id=filter_.user_id,
        action=filter_.action or None,
        since=parse_datetime(filter_.since, "since"),
        until=parse_datetime(filter_.until, "until"),
        before=before,
        limit=limit,
    )


def _parse_filter(page: PageRequest) -> AuditFilter:
    """What the query asks for.

    Raises:
        Invalid: a time is none.
        NotFound: no user can have that id.
    """
    user = page.query_param("user_id")
    filter_ = AuditFilter(
        parse_integer_id(user, "user") if user else None,
        page.query_param("action").strip().replace("\x00", "")[:100],
        page.query_param("since"),
        page.query_param("until"),
    )
    parse_datetime(filter_.since, "since")
    parse_datetime(filter_.until, "until")
    return filter_


def _to_text(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_VALUE_LENGTH else text[:_MAX_VALUE_LENGTH] + "…"


def _id(page: PageRequest) -> int:
    return page.integer_id("organization_id", "organization")


HANDLERS: Sequence[Any] = [show, export]
