"""k6's JSON: unused fields may contain any number and character, since no load test should fail because of them."""

from typing import TypeVar

import msgspec

from loadbell.domain.errors import Invalid
from loadbell.entry.bodies import decode_body

T = TypeVar("T")


def decode_json(raw: bytes, model: type[T]) -> T:
    """Parses the JSON object ``raw`` as ``model`` (a Struct).

    Raises:
        MalformedBody: it is not JSON.
        Invalid: a field is wrong.
    """
    cleaned = raw.replace(b"\\u0000", b"\\ufffd")  # PostgreSQL can't store U+0000 in texts
    try:
        return decode_body(cleaned, "application/json", model)
    except Invalid:  # perhaps a number too large for a float, in an unused field
        try:
            return msgspec.json.decode(cleaned, type=model)
        except msgspec.DecodeError:
            pass
        raise
