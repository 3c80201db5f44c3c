"""The project's own files, for the tests that read them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

_FOLDERS = ("src", "tests", "docs", "requirements", "benchmarks", "changelog.d", ".ci")
_BINARY = {".png", ".jpg", ".ico", ".woff2", ".pyc", ".gz"}


def text_files() -> Iterator[Path]:
    """Every text file that belongs to the project, whether git knows it already or not."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    for folder in _FOLDERS:
        found += (ROOT / folder).rglob("*")
    for path in sorted(found):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in _BINARY:
            yield path


def python_files() -> list[Path]:
    """Every Python file of the project."""
    return [path for path in text_files() if path.suffix == ".py"]


def relative(path: Path) -> str:
    """``path`` as a person names it, from the project's folder on."""
    return str(path.relative_to(ROOT))
