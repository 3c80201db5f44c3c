"""E-mail addresses: what people sign in with, and where mail goes."""

import re
from email.errors import HeaderDefect, HeaderParseError
from email.headerregistry import Address

MAX_EMAIL_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets

_WORD = r"[a-zA-Z0-9_!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"(?:[^\W_]|-)+"
_EMAIL = re.compile(rf"{_WORD}(?:\.{_WORD})*@{_LABEL}(?:\.{_LABEL})*")


def is_email(text: str) -> bool:
    """Whether ``text`` is one address in its plain form to which every server can send mail.

    That is RFC 5321 without quoted parts and address literals; the domain may be an international one (IDN), the part
    before the @ has ASCII only. So it has no space, comma, bracket or control character: it can't become two
    recipients, or a header of its own.
    """
    if len(text) > MAX_EMAIL_LENGTH or _EMAIL.fullmatch(text) is None:
        return False
    try:
        mailed = normalize_email(text)
        if len(mailed) > MAX_EMAIL_LENGTH:
            return False
        Address(addr_spec=mailed)
        _, _, domain = text.lower().rpartition("@")
        # What the coding of names changes, such as ß to ss, leads to another domain than the one that was given.
        return domain.isascii() or mailed.rpartition("@")[2].encode("ascii").decode("idna") == domain
    except (ValueError, HeaderDefect, HeaderParseError):
        return False


def normalize_email(email: str) -> str:
    """``email`` in ASCII (RFC 3490), as a mail server takes it that knows nothing of international addresses.

    Raises:
        ValueError: its domain can't be a domain.
    """
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii')}"
