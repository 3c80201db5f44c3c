"""
Brings the programs that the tests want and pip can't install; ``make test`` runs it first.

Only root on a system with apt-get gets anything installed. For anybody else the tests that want a missing program are
skipped, and pytest's summary says why.
"""

import os
import shutil
import subprocess
import sys

from tests.support.postgres import find_binaries

_LISTS = "Acquire::http::Timeout=20"


def main() -> int:
    """Installs PostgreSQL if it is missing and may be installed; never fails: the tests tell what is missing."""
    if os.environ.get("LOADBELL_TEST_POSTGRES_URL") or find_binaries() is not None:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("make test: there is no PostgreSQL here; the tests that need one will be skipped.")
        print("Install the package postgresql to run them too, or name a server in LOADBELL_TEST_POSTGRES_URL.")
        return 0
    print("make test: installing the package postgresql, for the tests that need one (once) …", flush=True)
    # apt reads http_proxy. Where that leads nowhere, the package mirror may still be reached without it.
    without_proxy = {name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}
    attempts = [dict(os.environ)] if without_proxy == dict(os.environ) else [dict(os.environ), without_proxy]
    if not any(_install("postgresql", environment) for environment in attempts):
        print("make test: it could not be installed; the tests that need it will be skipped.")
    return 0


def _install(package: str, environment: dict[str, str]) -> bool:
    environment = {**environment, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "-qq", "-o", _LISTS, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            print(f"apt-get {arguments[0]} failed: {' '.join(done.stdout.split()[-40:])}")
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
