"""
The figures that a tool itself wrote during a run, by the names of the API.

Only what the user has told the tool to write is read: no option and no variable is added to a command. All figures of
all tools come through :func:`read_figures`; a tool that is not here gives none.
"""

import os
from collections.abc import Iterable, Mapping

from loadbell.client.commands import Command
from loadbell.client.locust_options import LocustOptions

_CSV_LAG_S = 10.0
"""Locust's CSV files lack the last second or two, so none in a short one does not mean none."""

_MAX_FILE_SIZE = 8 * 1024 * 1024


def read_metrics(command: Command, started_at: float) -> dict[str, float]:
    """What ``command``, started at ``started_at`` by the clock of the file system, wrote of its run. Empty: nothing."""
    if command.tool != "locust" or command.elsewhere:
        return {}
    options = LocustOptions(command)
    try:
        if options.json_file and is_fresh(options.json_file, started_at):
            return _read_locust_json(options.json_file)
        if options.csv_prefix and is_fresh(path := f"{options.csv_prefix}_stats.csv", started_at):
            counted = _read_locust_csv(path)
            is_early = os.stat(path).st_mtime - started_at < _CSV_LAG_S  # noqa: PTH116 - pathlib is slow to import
            return {} if is_early and not counted["requests"] else counted
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # written by another version, or cut off
        pass
    return {}


def is_fresh(path: str, started_at: float) -> bool:
    """Whether the file or folder at ``path`` was changed since then. Some file systems keep whole seconds only."""
    try:
        return os.stat(path).st_mtime >= started_at - 1  # noqa: PTH116 - pathlib is slow to import
    except (OSError, ValueError):
        return False


def _read_locust_json(path: str) -> dict[str, float]:
    import json  # noqa: PLC0415 - costs time that the tool need not wait for

    entries = json.loads(_read_text(path))
    return _summarize((entry["num_requests"], entry["num_failures"]) for entry in entries)


def _read_locust_csv(path: str) -> dict[str, float]:
    import csv  # noqa: PLC0415 - as above

    rows: list[Mapping[str, str]] = list(csv.DictReader(_read_text(path).splitlines()))
    return _summarize((row["Request Count"], row["Failure Count"]) for row in rows if row["Name"] == "Aggregated")


def _read_text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib is slow to import
        text = file.read(_MAX_FILE_SIZE + 1)
    if len(text) > _MAX_FILE_SIZE:
        raise ValueError("too long")
    return text


def _summarize(entries: Iterable[tuple[object, object]]) -> dict[str, float]:
    pairs = [(int(str(requests)), int(str(failed))) for requests, failed in entries]
    if not pairs:
        return {"requests": 0.0, "failed": 0.0}
    requests, failed = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    share = {"failed_rate": round(failed / requests, 6)} if requests else {}
    return {"requests": float(requests), "failed": float(failed), **share}
