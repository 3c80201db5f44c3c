"""Checks and normalizes e-mail addresses."""

import re
from email.errors import HeaderDefect, HeaderParseError
from email.headerregistry import Address

MAX_EMAIL_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets

_WORD = r"[a-zA-Z0-9_!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"(?:[^\W_]|-)+"
_EMAIL = re.compile(rf"{_WORD}(?:\.{_WORD})*@{_LABEL}(?:\.{_LABEL})*")


def is_email(text: str) -> bool:
    """Whether ``text`` is one plain address that every mail server accepts.

    That is RFC 5321 without quoted parts and address literals; the part before the @ is ASCII, the domain may be
    international (IDN). It has no space, comma, bracket or control character, so it can't become two recipients or
    another header.
    """
    if len(text) > MAX_EMAIL_LENGTH or _EMAIL.fullmatch(text) is None:
        return False
    try:
        mailed = normalize_email(text)
        if len(mailed) > MAX_EMAIL_LENGTH:
            return False
        Address(addr_spec=mailed)
        _, _, domain = text.lower().rpartition("@")
        # If IDNA changes the name, such as ß to ss, it is another domain than the one given.
        return domain.isascii() or mailed.rpartition("@")[2].encode("ascii").decode("idna") == domain
    except (ValueError, HeaderDefect, HeaderParseError):
        return False


def normalize_email(email: str) -> str:
    """Returns ``email`` in ASCII (RFC 3490), for mail servers without international addresses.

    Raises:
        ValueError: its domain isn't valid.
    """
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii')}"
