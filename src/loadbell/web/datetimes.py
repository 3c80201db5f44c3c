"""Dates and times in forms: what a browser's field for them says is meant in UTC, and the page says so."""

from datetime import UTC, datetime

from loadbell.domain.errors import FieldError, Invalid
from loadbell.domain.ids import Micros, from_datetime


def parse_datetime(text: str, field: str) -> Micros | None:
    """The instant that ``text``, of the field of that name, says; None: it is empty.

    Raises:
        Invalid: it says none.
    """
    if not text.strip():
        return None
    try:
        return from_datetime(datetime.fromisoformat(text.strip()).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Invalid(FieldError(field, "enter a date and time, for example 2026-11-23T18:00")) from None
