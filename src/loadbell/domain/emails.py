"""E-mail addresses: what people sign in with, and where mail goes."""

import re

LONGEST_EMAIL = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets

_WORD = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"(?:[^\W_]|-)+"
_EMAIL = re.compile(rf"{_WORD}(?:\.{_WORD})*@{_LABEL}(?:\.{_LABEL})*")


def is_email(text: str) -> bool:
    """Whether ``text`` is one address in its plain form (RFC 5321 and 6531, without quoted parts and address literals).

    So it has no space, comma, bracket or control character: it can't become two recipients, or a header of its own.
    """
    return len(text) <= LONGEST_EMAIL and _EMAIL.fullmatch(text) is not None
