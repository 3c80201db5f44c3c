"""
Makes a picture of every page at 1280 and 390 px, light and dark, in ``screenshots/``; ``make screenshots`` runs it.

It ends with 1 if a page looks wrong, and says how. With names of pictures as arguments only these are made.
"""

import sys
import tempfile
import time
from pathlib import Path

from tests.browser.gallery import Gallery
from tests.browser.pictures import FIRST_START, PICTURES, Picture, there
from tests.browser.sample import Sample, empty_server, sample_server
from tests.browser.tab import chromium
from tests.support.chromium import MISSING, find_chromium
from tests.support.tree import ROOT


def main(names: list[str]) -> int:
    """Makes them all, or those of these names."""
    if find_chromium() is None:
        print(f"make screenshots: {MISSING}")
        return 1
    folder = ROOT / "screenshots"
    folder.mkdir(exist_ok=True)
    first, others = (
        [picture for picture in there(all_) if not names or picture.name in names] for all_ in (FIRST_START, PICTURES)
    )
    began = time.monotonic()
    issues: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        with empty_server(Path(place) / "empty") as nothing:
            issues += _make(first, nothing, folder)
        with sample_server(Path(place) / "sample") as sample:
            issues += _make(others, sample, folder)
    for issue in issues:
        print(issue)
    print(
        f"{4 * len(first + others)} pictures in {folder.name}/ ({time.monotonic() - began:.0f} s), {len(issues)} issues"
    )
    return 1 if issues else 0


def _make(pictures: list[Picture], sample: Sample, folder: Path) -> list[str]:
    with chromium() as browser, Gallery(browser, sample, folder) as gallery:
        return [issue for picture in pictures for issue in gallery.inspect(picture)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
