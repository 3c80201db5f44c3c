"""Ids in paths and bodies; an impossible one is not found."""

import re
from uuid import UUID

from loadbell.domain.errors import NotFound
from loadbell.domain.ids import MAX_ID, parse_uuid

_MAX_ID_LENGTH = 40


def parse_integer_id(text: str, noun: str) -> int:
    """Parses an id in its only decimal form; ``noun`` names the thing in the error.

    Raises:
        NotFound: nothing can have that id.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text):
        raise _not_found(text, noun)
    return check_id(int(text), noun)


def check_id(number: int, noun: str) -> int:
    """Returns ``number`` if it can be an id.

    Raises:
        NotFound: it can't.
    """
    if not 1 <= number <= MAX_ID:
        raise _not_found(str(number), noun)
    return number


def parse_uuid_id(text: str, noun: str) -> UUID:
    """Parses a UUID.

    Raises:
        NotFound: ``text`` isn't one.
    """
    found = parse_uuid(text)
    if found is None:
        raise _not_found(text, noun)
    return found


def _not_found(text: str, noun: str) -> NotFound:
    shown = text if len(text) <= _MAX_ID_LENGTH else f"{text[:_MAX_ID_LENGTH]}…"
    return NotFound(f"There is no {noun} {shown}.")
