"""The form of a page, as a browser sends it."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from loadbell.domain.errors import FieldError, Invalid
from loadbell.entry.problems import MalformedBody, UnsupportedMediaType

CSRF_TOKEN = "csrf_token"  # noqa: S105 - the name of its field

_MAX_FIELDS = 1_000  # a check box for each project is one


class Form(dict[str, str]):
    """What a form says, by field; of a field that is said several times, the last."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = list(pairs)
        super().__init__(self._pairs)

    def all(self, name: str) -> list[str]:
        """Everything that is said for ``name``: the check boxes that are ticked."""
        return [value for text, value in self._pairs if text == name]

    def check(self) -> None:
        """Does nothing if everything in it can be stored.

        Raises:
            Invalid: it can't; the first field that is wrong.
        """
        for name, value in self._pairs:
            if "\x00" in value:
                raise Invalid(FieldError(name, "the character U+0000 can't be stored; remove it"))


def read_form(raw: bytes, content_type: str) -> tuple[Form, str]:
    """The form that the body ``raw`` says, and its CSRF token, or "".

    Raises:
        UnsupportedMediaType: it is not declared as a form.
        MalformedBody: it is none.
    """
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("Send the form as application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict", encoding="utf-8"
        )
    except ValueError:  # UnicodeDecodeError is one
        raise MalformedBody("The form can't be read. Go back and send it again.") from None
    token = next((value for name, value in pairs if name == CSRF_TOKEN), "")
    return Form((name, value) for name, value in pairs if name != CSRF_TOKEN), token
