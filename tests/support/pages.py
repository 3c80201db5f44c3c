"""
Writes what docs/channels.md tells of each kind's settings, from the code: ``make docs`` runs it.

Of the page only what stands between ``<!-- from the code: KIND -->`` and ``<!-- end -->`` is written; the rest is
written by people.
"""

import re
import sys
from collections.abc import Iterator

from loadbell.channels import channel_type, channel_types
from loadbell.channels.reference import Setting, list_settings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.ids import SECOND
from tests.support.tree import ROOT

PAGE = ROOT / "docs/channels.md"
_BLOCK = re.compile(r"(?<=<!-- from the code: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_TYPES = {str: "text", bool: "true or false", dict: "object of texts"}


def main() -> int:
    """Brings the page up to date."""
    before = PAGE.read_text(encoding="utf-8")
    after = rewrite(before)
    PAGE.write_text(after, encoding="utf-8")
    sys.stdout.write("docs/channels.md: " + ("nothing to change\n" if after == before else "written\n"))
    return 0


def rewrite(page: str) -> str:
    """``page`` with what the code says of each kind.

    Raises:
        ValueError: a kind has no place in it, or more than one, or there is a place for a kind that is not known.
    """
    places = [match[1] for match in _BLOCK.finditer(page)]
    items = list(channel_types())
    if sorted(places) != sorted(items):
        raise ValueError(f"docs/channels.md has places for {places}, and the kinds are {items}.")
    return _BLOCK.sub(lambda match: match[1] + match[2] + "\n".join(_describe(ChannelKind(match[1]))) + "\n", page)


def _describe(kind: ChannelKind) -> Iterator[str]:
    channel = channel_type(kind)
    yield ""
    yield from (f"{number}. {step}" for number, step in enumerate(channel.steps, 1))
    yield from ("", "| setting | value | what it is |", "| --- | --- | --- |")
    yield from (_row(setting) for setting in list_settings(kind))
    yield ""
    if (limit := channel.rate_limit) is not None:
        spacing = f"{limit.interval / SECOND:g} s"
        yield f"Messages go out one every {spacing}, after a burst of {limit.burst}; what comes faster waits."
        yield ""


def _row(setting: Setting) -> str:
    marks = [_TYPES[setting.value_type]]
    marks += ["required"] if setting.required else []
    marks += ["secret"] if setting.secret else []
    return f"| `{setting.name}` | {', '.join(marks)} | {setting.help} |"


if __name__ == "__main__":
    sys.exit(main())
