"""Parses simple command lines in shell syntax."""

import re

_NOT_SIMPLE = re.compile(r"[;&|<>`\n(){}]|\$\(")
_PRELUDE = re.compile(r"\s*(cd|export|set|source|ulimit|umask|\.)\s[^;&|<>`\n(){}]*(?:&&|;|\n)")


def without_prelude(text: str) -> tuple[str, bool]:
    """Removes leading commands that only prepare the shell; also returns whether one of them changes the folder."""
    moved = False
    while found := _PRELUDE.match(text):
        text = text[found.end() :]
        moved = moved or found[1] == "cd"
    return text, moved


def split_simple(text: str) -> list[str]:
    """Returns the words of a simple command; none if it is more complex."""
    if _NOT_SIMPLE.search(text):
        return []
    import shlex  # noqa: PLC0415 - rarely needed, and slow to import

    try:
        return shlex.split(text)
    except ValueError:
        return []
