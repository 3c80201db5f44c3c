"""
Makes ``.venv`` and installs ``dev.txt`` and loadbell itself into it; does nothing when that was done already.

Runs on the Python that ``make setup`` was given, before anything is installed: standard library only, and plain
enough for an older Python to read, which then says that it is too old.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is what finds that out
    print(f"loadbell: this is Python {sys.version_info[0]}.{sys.version_info[1]}; it needs 3.11 or later.")
    print("Name a newer one: make setup PYTHON=python3.11")
    sys.exit(1)

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PINS = ROOT / "requirements" / "dev.txt"
STAMP = VENV / "installed"


def main() -> int:
    """Brings ``.venv`` up to date; one at a time, whoever else is running make here."""
    folder = os.open(ROOT / "requirements", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    if _read(STAMP) == _wanted() and _works():
        return 0
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        print("loadbell: this Python can't make a virtual environment.")
        print(f"Install its venv module (Debian: apt-get install python3-venv, or python{version}-venv) and try again.")
        return 1
    began = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if not _works():
        print("loadbell: making .venv …", flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(VENV)])
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    total = sum("==" in line for line in PINS.read_text(encoding="utf-8").splitlines())
    print(f"loadbell: installing {total} pinned packages (once; a minute or two) …", flush=True)
    _run([*pip, "--require-hashes", "--requirement", str(PINS)], total=total)
    _run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    STAMP.write_text(_wanted(), encoding="utf-8")
    print(f"loadbell: .venv is ready ({time.monotonic() - began:.0f} s).", flush=True)
    return 0


def _wanted() -> str:
    """What ``.venv`` was made from: the pins, what the project says of itself, and the place that its scripts name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    said = json.dumps([project["project"], project["build-system"], project["tool"]["hatch"], str(VENV)])
    return hashlib.sha256(PINS.read_bytes() + said.encode()).hexdigest() + "\n"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _works() -> bool:
    """Whether ``.venv`` is there, is in its own place and its Python still runs."""
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    place = subprocess.run(
        [str(python), "-c", "import pip, sys; print(sys.version_info >= (3, 11), sys.prefix)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return place.stdout.strip() == f"True {VENV}"


def _run(command: list[str], total: int = 0) -> None:
    """Runs ``command`` quietly, with a count of ``total`` packages on a terminal; shows all it wrote if it fails."""
    written = []
    collected = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            written.append(line)
            collected += line.startswith("Collecting ")
            if total and sys.stdout.isatty():
                print(f"\r  {collected} of {total}", end="", flush=True)
    if total and sys.stdout.isatty():
        print("\r", end="")
    if process.returncode != 0:
        print("".join(written))
        print(f"loadbell: this failed: {' '.join(command[:4])} …  What it wrote stands above.")
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
