"""Command lines in shell syntax, as far as it can be told without a shell which command they call in the end."""

import re

_NOT_SIMPLE = re.compile(r"[;&|<>`\n(){}]|\$\(")
_PRELUDE = re.compile(r"\s*(cd|export|set|source|ulimit|umask|\.)\s[^;&|<>`\n(){}]*(?:&&|;|\n)")


def without_prelude(text: str) -> tuple[str, bool]:
    """``text`` without the commands in front that only prepare the shell; whether one of them changes its folder."""
    moved = False
    while found := _PRELUDE.match(text):
        text = text[found.end() :]
        moved = moved or found[1] == "cd"
    return text, moved


def split_simple(text: str) -> list[str]:
    """The words of a simple command; none if it is more than that."""
    if _NOT_SIMPLE.search(text):
        return []
    import shlex  # noqa: PLC0415 - rarely needed, and not free

    try:
        return shlex.split(text)
    except ValueError:
        return []
