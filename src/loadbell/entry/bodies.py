"""
Request bodies: read up to a limit, parsed as JSON, and checked field by field.

Invalid JSON raises MalformedBody; JSON with wrong fields raises Invalid, which names them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec
from litestar import Request

from loadbell.domain.errors import FieldError, Invalid
from loadbell.entry.fields import MAX_ERRORS, convert_fields, describe
from loadbell.entry.problems import MalformedBody, TooLarge, UnsupportedMediaType

MAX_BODY_SIZE = 1024 * 1024
"""Bytes of a request's body; a longer one is refused."""

MAX_UNAUTHENTICATED_BODY_SIZE = 64 * 1024
"""Bytes that are read before the credential was checked, or without one."""

WHOLE_BODY = "body"
"""The field name for errors of the whole body."""

_MAX_PATH_LENGTH = 500  # characters of a wrong field's path

T = TypeVar("T")


async def read_body(request: Request[Any, Any, Any], max_size: int, reserve: Callable[[int], Awaitable[None]]) -> bytes:
    """Reads the raw body. Never keeps more than ``max_size`` bytes, announced or not.

    ``reserve`` is called with the body's largest possible size before more than ``MAX_UNAUTHENTICATED_BODY_SIZE`` are
    read.

    Raises:
        TooLarge: it is longer than the limit.
        MalformedBody: the client disconnected before the end.
        Refused: there is no room.
    """
    text = request.headers.get("content-length", "")
    announced = int(text[:20]) if text.isascii() and text.isdigit() else None
    if announced is not None and announced > max_size:
        raise _too_large(max_size)
    chunks: list[bytes] = []
    length, room = 0, MAX_UNAUTHENTICATED_BODY_SIZE
    async for chunk in body_chunks(request):
        length += len(chunk)
        if length > max_size:
            raise _too_large(max_size)
        if max(length, announced or 0) > room:
            room = max_size if announced is None else announced
            await reserve(room)
        chunks.append(chunk)
    return b"".join(chunks)


async def body_chunks(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    """Yields the body in chunks, at any length.

    Raises:
        MalformedBody: the client disconnected before the end.
    """
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise MalformedBody("The connection closed before the body was complete.")
        if message["type"] != "http.request":
            continue
        yield message["body"]
        if not message["more_body"]:
            return


def decode_body(raw: bytes, content_type: str | None, model: type[T]) -> T:
    """Parses the JSON object ``raw`` as ``model`` (a Struct). An empty body of any type counts as ``{}``.

    Raises:
        UnsupportedMediaType: it is not declared as JSON in UTF-8.
        MalformedBody: it is not JSON.
        Invalid: it is not an object, or some of its fields are wrong.
    """
    if not raw:
        try:
            return convert_fields({}, model)
        except Invalid as missing:
            told = (FieldError(error.field, f"{error.message}, and the body is empty") for error in missing.errors)
            raise Invalid(*told) from None
    _check_media_type(content_type)
    tree = _parse(raw)
    if not isinstance(tree, dict):
        raise Invalid(FieldError(WHOLE_BODY, "must be a JSON object"))
    if b"\\u0000" in raw:  # the only way to write U+0000 in JSON
        message = "the character U+0000 can't be stored; remove it"
        fields = [FieldError(path or WHOLE_BODY, message) for path in islice(_nul(tree), MAX_ERRORS)]
        if fields:
            raise Invalid(*fields)
    return convert_fields(tree, model)


def _too_large(max_size: int) -> TooLarge:
    return TooLarge(f"The body is longer than {max_size:,} bytes. Send less at a time.")


def _check_media_type(content_type: str | None) -> None:
    media_type, _, parameters = (content_type or "").partition(";")
    charset = next(
        (
            value.strip().strip('"')
            for name, _, value in (part.partition("=") for part in parameters.split(";"))
            if name.strip().lower() == "charset"
        ),
        "utf-8",
    )
    if media_type.strip().lower() != "application/json" or charset.lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType("Send the body as JSON in UTF-8, with the header Content-Type: application/json.")


def _parse(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body isn't UTF-8: byte {error.start} is invalid.") from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except msgspec.ValidationError:  # well-formed, but a number is too large to hold
        raise Invalid(*islice(_unreadable_numbers(raw), MAX_ERRORS)) from None
    except msgspec.DecodeError as error:
        raise MalformedBody(f"The body isn't valid JSON. {error}.") from None


def _unreadable_numbers(raw: bytes) -> Iterator[FieldError]:
    """Yields an error for each top-level field with a number that is too large."""
    message = "this number is too large"
    try:
        parts = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        yield FieldError(WHOLE_BODY, "must be a JSON object")
        return
    for name, part in parts.items():
        try:
            msgspec.json.decode(part)
        except msgspec.ValidationError as error:
            path, _ = describe(str(error), name)
            yield FieldError(path, message)


def _nul(tree: Any) -> Iterator[str]:
    """Yields the dotted path of every text in ``tree`` with U+0000; for a key the path of its parent.

    Paths are built only for matches: a tree may have many values under a long name.
    """
    waiting: list[tuple[_Place | None, Any]] = [(None, tree)]
    while waiting:
        here, value = waiting.pop()
        if isinstance(value, str):
            if "\x00" in value:
                yield _path(here)
        elif isinstance(value, dict):
            if any("\x00" in key for key in value):
                yield _path(here)
            parts = reversed(value.items())
            waiting += [((here, key), part) for key, part in parts if "\x00" not in key and _may_hold_nul(part)]
        elif isinstance(value, list):
            waiting += [
                ((here, index), value[index]) for index in reversed(range(len(value))) if _may_hold_nul(value[index])
            ]


def _may_hold_nul(value: Any) -> bool:
    return "\x00" in value if isinstance(value, str) else isinstance(value, dict | list)


_Place = tuple[Any, str | int]  # the parent's place, and the key or index in it


def _path(here: _Place | None) -> str:
    steps: list[str] = []
    while here is not None:
        here, step = here
        steps.append(str(step)[:_MAX_PATH_LENGTH])
    return ".".join(reversed(steps))[:_MAX_PATH_LENGTH]
