"""Option values that may be secret: given directly, or read from a file or stdin, where no process list shows them."""

import sys
from pathlib import Path

HOW = "use @FILE to read a file or - to read stdin; this keeps secrets out of process lists and shell history."
"""How to give such a value, for the help of an option."""


def read_value(word: str) -> str:
    """The value of ``word``: ``@FILE`` reads the file, ``-`` or ``@-`` reads stdin, ``@@…`` gives ``@…``, else itself.

    Trailing line breaks of a file or stdin are removed.

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
        raise ValueError("it isn't UTF-8 text") from None
    return read.rstrip("\r\n")
