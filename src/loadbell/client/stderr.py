"""Writes wrap's own messages to stderr, bypassing Python's buffers."""

import contextlib
import os

STDERR = 2


def say(line: str) -> None:
    """Writes one line; a broken stderr must not change our exit code."""
    with contextlib.suppress(OSError):
        os.write(STDERR, f"loadbell: {line}\n".encode("utf-8", "replace"))
