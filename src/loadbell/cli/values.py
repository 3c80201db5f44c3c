"""Values that may be secret: given as a word, or in a file or on stdin, where no process list shows them."""

import sys
from pathlib import Path

HOW = "@FILE reads it from a file and - from stdin, so that a secret is in no process list and no shell history."
"""How such a value is given, for the help of an option."""


def read_value(word: str) -> str:
    """What ``word`` gives: ``@FILE`` the file's content, ``-`` or ``@-`` what stdin has, ``@@…`` ``@…``, else itself.

    Line breaks at the end of a file or of stdin don't count.

    Raises:
        ValueError: the file can't be read; says why.
    """
    if word.startswith("@@"):
        return word[1:]
    if word != "-" and not word.startswith("@"):
        return word
    try:
        read = sys.stdin.read() if word in {"-", "@-"} else Path(word[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(error.strerror) from None
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    return read.rstrip("\r\n")
