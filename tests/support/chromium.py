"""The Chromium that is installed here; the browser tests bring none of their own."""

import shutil
from pathlib import Path

MISSING = (
    "needs Chromium: there is none in PATH. Install the package chromium; google-chrome does as well. "
    "On Debian, `make test` does it as root."
)
"""Why a test is skipped where there is no Chromium."""

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium() -> Path | None:
    """The program, if there is one."""
    found = (shutil.which(name) for name in _NAMES)
    return next((Path(path) for path in found if path is not None), None)
