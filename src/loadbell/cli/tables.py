"""How commands print results: one line per item with relative times, or JSON."""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from loadbell.client.api import one_line

AsJson = Annotated[bool, typer.Option("--json", help="Print the server's response as JSON.")]

_GAP = "  "
_MINUTES_COUNT_FROM_S = 3600  # what ends in 90 days, less a moment, ends "in 90 d"


def show_list(items: Sequence[dict[str, Any]], rows: Iterable[Sequence[object]], *, as_json: bool, empty: str) -> None:
    """Prints ``items`` as JSON, or their ``rows`` in columns; ``empty``, on stderr, if there are none.

    On a terminal, rows are cut to its width; in a pipe or a file they are complete.
    """
    if as_json:
        print(json.dumps({"items": items}))
        return
    if not items:
        print(empty, file=sys.stderr)
        return
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in cells:
        line = _GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        print(line if room is None or len(line) <= room else f"{line[: room - 1]}…")


def show(thing: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """Prints ``thing`` as JSON, or the ``sentence`` about it."""
    print(json.dumps(thing) if as_json else sentence)


def format_time(moment: str) -> str:
    """An RFC 3339 time, relative to now: "2 h 5 min ago", "in 7 d"."""
    from datetime import datetime  # noqa: PLC0415 - only when something is listed

    from loadbell.domain.ids import SECOND  # noqa: PLC0415 - as above
    from loadbell.domain.notices import format_span  # noqa: PLC0415 - as above

    away = round(datetime.fromisoformat(moment).timestamp() - time.time())
    if away == 0:
        return "just now"
    length = abs(away) if abs(away) < _MINUTES_COUNT_FROM_S else (abs(away) + 30) // 60 * 60
    return f"in {format_span(length * SECOND)}" if away > 0 else f"{format_span(length * SECOND)} ago"
