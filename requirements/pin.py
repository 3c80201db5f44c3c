"""
Pins what pyproject.toml asks for: ``runtime.txt`` (the product) and ``dev.txt`` (the product and its checks).

pyproject.toml is the only place where a dependency is declared. ``make requirements`` runs this; ``--check`` says
whether the pins still belong to pyproject.toml, without a network. The files name no index and no host: whoever
installs decides where packages come from, and the hashes decide which.
"""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDEST = (3, 11)


def wanted() -> dict[str, list[str]]:
    """What each file has to satisfy, as pyproject.toml declares it."""
    declared = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    runtime: list[str] = sorted(declared["project"]["dependencies"])
    return {"runtime.txt": runtime, "dev.txt": sorted(runtime + declared["dependency-groups"]["dev"])}


def header(requirements: list[str]) -> str:
    """The first line of a file: what it is, and a digest of what it was made from."""
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:16]
    return f"# Pins made from pyproject.toml ({digest}) by `make requirements`; don't edit.\n"


def compile_all(arguments: list[str]) -> int:
    """Writes both files; ``arguments`` go to pip-compile (``--upgrade``)."""
    if sys.version_info[:2] != OLDEST:
        print(f"requirements: this is Python {sys.version_info[0]}.{sys.version_info[1]}.")
        print("Use the oldest supported one, so that the pins hold there: make requirements PYTHON=python3.11")
        return 1
    # The packages' public index decides, not the wheel folders or indexes of one machine.
    environment = {name: value for name, value in os.environ.items() if name not in {"PIP_FIND_LINKS", "PIP_NO_INDEX"}}
    for name, requirements in wanted().items():
        path = HERE / name
        options = ["--generate-hashes", "--strip-extras", "--allow-unsafe", "--no-header", "--no-annotate"]
        options += ["--no-config"]
        options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"]
        if name != "runtime.txt":
            options += ["--constraint", str(HERE / "runtime.txt")]
        subprocess.run(
            [sys.executable, "-m", "piptools", "compile", "--quiet", *options, *arguments, "-o", str(path), "-"],
            input="\n".join(requirements),
            text=True,
            check=True,
            env=environment,
        )
        pins = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith("#")]
        path.write_text(header(requirements) + "".join(pins), encoding="utf-8")
    return check()


def check() -> int:
    """Whether the files belong to pyproject.toml, hold nothing but pins with hashes, and agree with each other."""
    wrong = []
    pins: dict[str, set[str]] = {}
    for name, requirements in wanted().items():
        text = (HERE / name).read_text(encoding="utf-8") if (HERE / name).exists() else ""
        if not text.startswith(header(requirements)):
            wrong.append(f"requirements/{name} was not made from this pyproject.toml.")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        pins[name] = {line.rstrip(" \\") for line in lines if not line.startswith(" ")}
        wrong += [f"requirements/{name}: {pin} is not a pin." for pin in pins[name] if not re.match(r"[\w.-]+==", pin)]
        wrong += [
            f"requirements/{name}: {line.strip()} is not a hash."
            for line in lines
            if line.startswith(" ") and not line.strip().startswith("--hash=sha256:")
        ]
    if missing := pins["runtime.txt"] - pins["dev.txt"]:
        wrong.append(f"requirements/dev.txt lacks pins of runtime.txt: {', '.join(sorted(missing))}.")
    for sentence in wrong:
        print(sentence)
    if wrong:
        print("Run `make requirements` and commit what it wrote.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["--check"] else compile_all(sys.argv[1:]))
