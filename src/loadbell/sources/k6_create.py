"""k6's request for a new run: JSON, or a form with the test's archive (``k6 cloud run --local-execution``)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import multipart

from loadbell.domain.errors import FieldError, Invalid
from loadbell.domain.ids import MAX_ID
from loadbell.entry.problems import MalformedBody, TooLarge
from loadbell.sources.k6_json import decode_json

MAX_ARCHIVE_SIZE = 256 * 2**20
"""Bytes of a form. Its archive is skipped and never stored."""

MAX_NAME_LENGTH = 10_000
"""Characters of a run's name; a longer one is cut, since no load test should fail because of it."""

_MAX_FIELD_SIZE = 10_000
_MAX_METADATA_SIZE = 2**20  # bytes of the archive that are read for its first member, the options
_TAR_BLOCK = 512
_NAME, _SIZE = slice(0, 100), slice(124, 136)  # in a member's header
_MAX_SIZE_DIGITS = 7  # octal digits of a size within that
_NAMELESS = "k6 test"


class _Criterion(msgspec.Struct):
    threshold: Any = None


_Criteria = dict[str, list[str | _Criterion | float | bool | list[Any] | None]]  #: by selection of series


class NewTest(msgspec.Struct):
    """k6's request for a new run, only the fields that are used."""

    name: str = ""
    project_id: Annotated[int, msgspec.Meta(ge=0)] | None = None  #: forms send 0 for none
    thresholds: _Criteria = msgspec.field(default_factory=dict)

    @property
    def expressions(self) -> dict[str, list[str]]:
        """The thresholds as texts; k6 may send objects, with the action if it doesn't hold."""
        return _expressions(self.thresholds)

    @property
    def run_name(self) -> str:
        """The name of the run, cleaned and cut for storage."""
        return self.name.replace("\x00", "\ufffd")[:MAX_NAME_LENGTH] or _NAMELESS


class _Options(msgspec.Struct):
    thresholds: _Criteria | None = None


class _Metadata(msgspec.Struct):
    options: _Options = msgspec.field(default_factory=_Options)


def parse_json(raw: bytes) -> NewTest:
    """Parses the JSON; the content type is ignored.

    Raises:
        MalformedBody: it is not JSON.
        Invalid: a field is wrong.
    """
    if not raw:
        raise MalformedBody("The body is empty. k6 sends the test's details in it.")
    return decode_json(raw, NewTest)


async def parse_form(chunks: AsyncIterator[bytes], content_type: str) -> NewTest:
    """Parses the form, and the thresholds in the archive's options.

    Raises:
        MalformedBody: it isn't such a form.
        TooLarge: it is longer than the limit.
        Invalid: a field is wrong.
    """
    boundary = multipart.parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise MalformedBody("The form's Content-Type has no boundary.")
    fields: dict[str, bytearray] = {}
    archive = bytearray()
    name = ""
    length = 0
    try:
        with multipart.PushMultipartParser(boundary, max_segment_count=50) as parser:
            async for chunk in chunks:
                length += len(chunk)
                if length > MAX_ARCHIVE_SIZE:
                    raise TooLarge(
                        f"The archive is larger than {MAX_ARCHIVE_SIZE // 2**20} MiB. Add --no-archive-upload."
                    )
                for part in parser.parse(chunk):
                    if isinstance(part, multipart.MultipartSegment):
                        name = part.name
                    elif part and name == "file":
                        archive += part[: max(_MAX_METADATA_SIZE - len(archive), 0)]
                    elif part:
                        value = fields.setdefault(name, bytearray())
                        value += part[: max(_MAX_FIELD_SIZE * 4 - len(value), 0)]
    except multipart.MultipartError:
        raise MalformedBody("The form is incomplete or isn't multipart/form-data.") from None
    project = fields.get("project_id", b"0").decode("ascii", "replace")
    if not project.isascii() or not project.isdigit() or len(project) > len(str(MAX_ID)):
        raise Invalid(FieldError("project_id", "must be a whole number"))
    text = fields.get("name", b"").decode("utf-8", "replace")
    return NewTest(text, int(project), {**_read_thresholds(bytes(archive))})


def _read_thresholds(archive: bytes) -> Mapping[str, list[Any]]:
    """Returns the options' thresholds in ``metadata.json``, which k6 puts first; none if that can't be parsed."""
    try:
        metadata = msgspec.json.decode(_first_member(archive, b"metadata.json"), type=_Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return _expressions(metadata.options.thresholds or {})


def _first_member(archive: bytes, name: bytes) -> bytes:
    """Returns the content of a tar archive's first member if it has that ``name``; else nothing.

    Parses only two plain fields of the header: other contents of an archive can take a general reader long.
    """
    header = archive[:_TAR_BLOCK]
    size = header[_SIZE].strip(b" \x00").lstrip(b"0")
    if header[_NAME].rstrip(b"\x00") != name or len(size) > _MAX_SIZE_DIGITS or not set(size) <= set(b"01234567"):
        return b""
    return archive[_TAR_BLOCK : _TAR_BLOCK + int(size or b"0", 8)]


def _expressions(thresholds: Mapping[str, Sequence[object]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for key, said in thresholds.items():
        texts = [one.threshold if isinstance(one, _Criterion) else one for one in said]
        values[key] = [text for text in texts if isinstance(text, str)]
    return values
