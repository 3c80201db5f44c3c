"""Pages of lists: newest first, with an opaque cursor for the next page."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec

from loadbell.domain.errors import FieldError, Invalid, NotFound
from loadbell.entry.path_ids import parse_integer_id, parse_uuid_id

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

T = TypeVar("T")


class PageQuery(msgspec.Struct, kw_only=True):
    """The query parameters of a page."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="How many items, at most.")] = DEFAULT_LIMIT
    cursor: Annotated[str, msgspec.Meta(description="`next_cursor` of the page before.")] | None = None

    @property
    def one_more(self) -> int:
        """The limit for the store: one more than the page, to know whether there is a next."""
        return self.limit + 1

    def before_id(self) -> int | None:
        """The integer id that the page begins after.

        Raises:
            Invalid: the cursor is not one of ours.
        """
        return None if self.cursor is None else _parse_cursor(self.cursor, parse_integer_id)

    def before_uuid(self) -> UUID | None:
        """The UUID that the page begins after.

        Raises:
            Invalid: the cursor is not one of ours.
        """
        return None if self.cursor is None else _parse_cursor(self.cursor, parse_uuid_id)


def split_page(items: Sequence[T], limit: int, key: Callable[[T], object]) -> tuple[Sequence[T], str | None]:
    """Splits ``items`` (up to one more than ``limit``) into the page and the cursor of the next."""
    if len(items) <= limit:
        return items, None
    page = items[:limit]
    return page, cursor_after(key(page[-1]))


def cursor_after(key: object | None) -> str | None:
    """The cursor of the page after the item with this id; None for None."""
    return None if key is None else base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _parse_cursor(cursor: str, parse: Callable[[str, str], T]) -> T:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        return parse(text, "page")
    except (binascii.Error, ValueError, NotFound):
        message = "is not a cursor of this list; send `next_cursor` of the page before"
        raise Invalid(FieldError("cursor", message)) from None
