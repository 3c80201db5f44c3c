"""
Brings the programs that the tests want and pip can't install; ``make test`` runs it first.

Only root on a system with apt-get gets anything installed. For anybody else the tests that want a missing program are
skipped, and pytest's summary says why.
"""

import os
import shutil
import subprocess
import sys

from tests.support.chromium import find_chromium
from tests.support.nginx import find_nginx
from tests.support.postgres import find_binaries
from tests.support.snippets import has_curl

_QUIET = ("-qq", "-o", "Acquire::http::Timeout=20", "-o", "Dpkg::Use-Pty=0")


def main() -> int:
    """Installs what is missing and may be installed; never fails: the tests tell what they miss."""
    missing = []
    if not os.environ.get("LOADBELL_TEST_POSTGRES_URL") and find_binaries() is None:
        missing.append("postgresql")
    if not has_curl():
        missing.append("curl")
    if find_chromium() is None:
        missing.append("chromium")
    if find_nginx() is None:
        missing.append("nginx")
    if not missing:
        return 0
    names = " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"make test: not installed here: {names}. Tests that need it are skipped, with the reason at the end.")
        return 0
    print(f"make test: installing the packages that some tests need (once): {names} …", flush=True)
    # apt reads http_proxy. Where that leads nowhere, the package mirror may still be reached without it.
    without_proxy = {name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}
    attempts = [dict(os.environ)] if without_proxy == dict(os.environ) else [dict(os.environ), without_proxy]
    problem = ""
    for environment in attempts:
        problem = _install(missing, environment)
        if not problem:
            return 0
    print(f"make test: {problem}")
    print("Tests that need it are skipped, with the reason at the end.")
    return 0


def _install(packages: list[str], environment: dict[str, str]) -> str:
    """Installs ``packages``; what went wrong, or ""."""
    environment = {**environment, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        process = subprocess.run(
            ["apt-get", *_QUIET, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if process.returncode != 0:
            return f"apt-get {arguments[0]} failed: {' '.join(process.stdout.split()[-40:])}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
