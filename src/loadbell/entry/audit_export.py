"""The audit log as JSON lines, one entry per line, the same in each front end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import msgspec

from loadbell.domain.ids import rfc3339
from loadbell.store.audit import Entry

JSON_LINES = "application/jsonl"

BATCH_SIZE = 500
"""Entries that an export reads in one transaction and keeps in memory."""


class AuditEntry(msgspec.Struct):
    """One change: who did it, when and from where, and what was before and after. Secrets are masked.

    `user` is an e-mail address, kept when the user leaves. Without a user it was loadbell itself, or its operator.
    """

    id: int
    user_id: int | None
    user: str | None
    token_id: int | None
    address: str | None
    action: str
    subject: str
    changes: dict[str, Any]
    created_at: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


ReadPage = Callable[[int | None], Awaitable[tuple[list[Entry], int | None]]]
"""Returns the entries before an id, newest first, and the id for the next call."""


def to_audit_entry(entry: Entry) -> AuditEntry:
    """Converts an entry for output."""
    return AuditEntry(
        id=entry.id,
        user_id=entry.user_id,
        user=entry.email,
        token_id=entry.token_id,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        changes=entry.changes,
        created_at=rfc3339(entry.created_at),
    )


async def export_entries(read_page: ReadPage) -> AsyncIterator[bytes]:
    """Yields all entries as JSON lines after the first read has succeeded, so an error is not a broken stream."""
    first = await read_page(None)

    async def lines() -> AsyncIterator[bytes]:
        entries, following = first
        while True:
            yield msgspec.json.Encoder().encode_lines([to_audit_entry(entry) for entry in entries])
            if following is None:
                return
            entries, following = await read_page(following)

    return lines()
