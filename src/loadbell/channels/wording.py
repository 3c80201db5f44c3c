"""Makes text from outside safe to show in messages, within a provider's limits."""

import bisect
import re
from collections.abc import Callable, Sequence

from loadbell.domain.notices import describe_threshold
from loadbell.domain.runs import Threshold

ELLIPSIS = "…"
"""Marks where text was cut."""

_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def readable(text: str) -> str:
    """``text`` on one line, without characters that could disguise it.

    White space becomes single spaces. Marks and overrides of the writing direction are removed: they could reverse what
    follows. Control characters, lone surrogates and noncharacters become U+FFFD.
    """
    return _UNFIT.sub("\ufffd", _DIRECTIONS.sub("", " ".join(text.split())))


def length(text: str) -> int:
    """The length of ``text`` in UTF-16 code units.

    Providers limit "characters". This is the largest of the usual readings, so a text within a limit meets all of them.
    """
    return len(text) + sum(char > "\uffff" for char in text)


def is_web_url(url: str) -> bool:
    """Whether a message may link to ``url``: http or https, printable, and without spaces."""
    return url.lower().startswith(("http://", "https://")) and url.isprintable() and " " not in url


def verdicts(thresholds: Sequence[Threshold], most: int, longest: int) -> list[str]:
    """Up to ``most`` thresholds, one line each: verdict, expression and value. Crossed thresholds come first.

    An expression is cut to ``longest`` in :func:`length`. One more line counts the thresholds left out.
    """
    ordered = sorted(thresholds, key=lambda one: one.ok)
    lines = []
    for one in ordered[:most]:
        was = describe_threshold(one)
        expression = truncate(readable(one.expression), longest)
        if one.ok and one.is_empty:
            lines.append(f"\u2013 {expression} — nothing was measured")
        else:
            lines.append(f"{'✓' if one.ok else '✗'} {expression}{f' — was {was}' if was else ''}")
    return lines if len(ordered) <= most else [*lines, f"… and {len(ordered) - most} more"]


def truncate(text: str, room: int, escape: Callable[[str], str] = str) -> str:
    """``escape(text)``, no longer than ``room`` (1 or more) in :func:`length`.

    Text that doesn't fit is cut before escaping, so never within an escape, and ends in "…".
    """
    text = text[: room + 1]
    whole = escape(text)
    if length(whole) <= room:
        return whole
    end = bisect.bisect_right(range(len(text)), room - 1, key=lambda end: length(escape(text[:end]))) - 1
    # A joiner at the cut would bind the mark to half an emoji.
    return escape(text[:end].rstrip("\u200d ")) + ELLIPSIS
