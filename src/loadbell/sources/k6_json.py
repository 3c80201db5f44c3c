"""k6's JSON: fields that nobody reads may hold any number and character, for no load test should fail over them."""

from typing import TypeVar

import msgspec

from loadbell.domain.errors import Invalid
from loadbell.entry.bodies import decode_body

T = TypeVar("T")


def decode_json(raw: bytes, model: type[T]) -> T:
    """What the JSON object ``raw`` says, as ``model`` (a Struct), whatever it declares itself as.

    Raises:
        MalformedBody: it is not JSON.
        Invalid: a field is wrong.
    """
    cleaned = raw.replace(b"\\u0000", b"\\ufffd")  # no text can keep it
    try:
        return decode_body(cleaned, "application/json", model)
    except Invalid:  # perhaps a number that no float holds, in a field that is not read
        try:
            return msgspec.json.decode(cleaned, type=model)
        except msgspec.DecodeError:
            pass
        raise
