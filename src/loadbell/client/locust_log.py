"""
Finds the workers that a Locust master lost, in its log file (``--logfile``), if the user set one.

Nothing else shows them: a killed or disconnected worker changes neither Locust's exit code nor its counts, and wrap
doesn't read the log on standard error.
"""

import os
import re
import time

from loadbell.client.commands import Command
from loadbell.client.locust_options import LocustOptions

_MAX_LOG_SIZE = 8 * 1024 * 1024
_MAX_NAMED = 5
_MAX_NAME_LENGTH = 200
_LINE = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[^\]]{0,9}\] [^/ ]{1,255}/[A-Z]{1,20}/locust\.runners: (.*)")
_READY = re.compile(r"(\S+) \(index \d+\) reported as ready\.")
_LOST = re.compile(r"Worker (\S+) failed to send heartbeat, setting state to missing\.")
_BACK = re.compile(r"Worker (\S+) self-healed with heartbeat, setting state to ")


def find_lost_workers(command: Command, started_at: float) -> str | None:
    """Returns a sentence about the workers that were lost and didn't come back; None if none are known.

    ``started_at``: when ``command`` started, in seconds since the epoch; older runs in the log are ignored.
    """
    path = None if command.tool != "locust" or command.elsewhere else LocustOptions(command).log_file
    if path is None:
        return None
    ready: dict[str, None] = {}  # in order of arrival
    lost: dict[str, None] = {}
    for line in _read_tail(path).splitlines():
        match = _LINE.match(line)
        if match is None or _seconds(match[1]) < int(started_at):
            continue
        if found := _READY.match(match[2]):
            ready[found[1]] = None
        elif found := _LOST.match(match[2]):
            lost[found[1]] = None
        elif found := _BACK.match(match[2]):
            lost.pop(found[1], None)
    return _sentence(list(lost), len(ready | lost)) if lost else None


def _sentence(lost: list[str], total: int) -> str:
    items = [name[:_MAX_NAME_LENGTH] for name in lost[:_MAX_NAMED]]
    if len(lost) > _MAX_NAMED:
        items.append(f"and {len(lost) - _MAX_NAMED} more")
    workers, were = ("worker" if total == 1 else "workers"), ("was" if len(lost) == 1 else "were")
    return f"{len(lost)} of {total} {workers} {were} lost: {', '.join(items)}"


def _read_tail(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            file.seek(max(os.fstat(file.fileno()).st_size - _MAX_LOG_SIZE, 0))
            return file.read(_MAX_LOG_SIZE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _seconds(text: str) -> float:
    """Converts Locust's local time to seconds since the epoch; 0 if it isn't valid."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return 0
