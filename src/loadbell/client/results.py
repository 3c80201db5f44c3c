"""
Reads the metrics that a tool wrote during a run.

Only files that the user made the tool write are read: no option or variable is added to a command. :func:`read_metrics`
knows all supported tools; others have no metrics.
"""

import os
from collections.abc import Iterable, Mapping

from loadbell.client.commands import Command
from loadbell.client.locust_options import LocustOptions

_CSV_LAG_S = 10.0
"""Locust's CSV files lack the last second or two, so 0 requests in a shorter run doesn't mean that there were none."""

_MAX_FILE_SIZE = 8 * 1024 * 1024


def read_metrics(command: Command, started_at: float) -> dict[str, float]:
    """Returns the metrics written by ``command``, by the API's names. ``started_at`` is by the file system's clock."""
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
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # from another version, or cut off
        pass
    return {}


def is_fresh(path: str, started_at: float) -> bool:
    """Returns whether the file or folder at ``path`` changed since then. Some file systems store only whole seconds."""
    try:
        return os.stat(path).st_mtime >= started_at - 1  # noqa: PTH116 - pathlib is slow to import
    except (OSError, ValueError):
        return False


def _read_locust_json(path: str) -> dict[str, float]:
    import json  # noqa: PLC0415 - a slow import, which the tool shouldn't wait for

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
