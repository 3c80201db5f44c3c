"""The ground the other tests stand on: fresh databases, a server that goes away, and no silent skips in CI."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from tests.support.postgres import MISSING, find_binaries, running_postgres


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("again", [1, 2])
def test_each_test_gets_an_empty_database(postgres_url: str, again: int) -> None:
    """What one test leaves in its database, the next does not see."""
    found = asyncio.run(_value(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    asyncio.run(_value(postgres_url, "CREATE TABLE left_behind ()"))

    assert found == 0


def test_a_database_url_of_each_engine(database_url: str) -> None:
    """The fixture names a database of its engine that a server may use at once."""
    assert database_url.startswith(("sqlite:////", "postgresql://"))


def test_postgres_comes_back_on_the_same_port_after_a_kill() -> None:
    """A killed server, started again, has everything that was committed, at the same address."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with running_postgres(durable=True) as server:
        asyncio.run(_value(server.url, "CREATE TABLE kept AS SELECT 7 AS n"))
        server.kill()
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset: any of them means that it is gone
            asyncio.run(_value(server.url, "SELECT 1"))
        server.start()

        assert asyncio.run(_value(server.url, "SELECT n FROM kept")) == 7


def test_postgres_ends_with_a_killed_test_run() -> None:
    """A kill -9 of the process that started the server takes the server with it."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    program = (
        "import os, signal\n"
        "from tests.support.postgres import running_postgres\n"
        "with running_postgres() as server:\n"
        "    print(server.url, server.folder, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert died.stdout.startswith("postgresql://"), died.stderr
    url, folder = died.stdout.split()
    deadline = time.monotonic() + 15
    while (Path(folder) / "data" / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(_value(url, "SELECT 1"))
    shutil.rmtree(folder)  # nobody was left to remove it


_TROUBLE = """
import threading

import pytest


def test_leaves_a_thread() -> None:
    threading.Thread(target=threading.Event().wait, args=(60,)).start()


@pytest.mark.parametrize("number", range(4))
def test_is_skipped(number: int) -> None:
    pytest.skip("for want of a program")
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_run_with_unwanted_skips_and_threads_fails(tmp_path: Path, processes: str) -> None:
    """In CI a skip for want of anything but k6, and anywhere a thread left behind, are told and fail the run.

    The same whether one process runs the tests or several do.
    """
    (tmp_path / "conftest.py").write_text("from tests.conftest import *")
    (tmp_path / "test_trouble.py").write_text(_TROUBLE)
    root = Path(__file__).parent.parent
    arguments = ("-n", processes, "-p", "no:cacheprovider", "-c", str(root / "pyproject.toml"), "--rootdir")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, str(tmp_path), str(tmp_path)],
        cwd=root,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "FAILED, CI must not skip [4] for want of a program" in ran.stdout
    assert "is still running" in ran.stdout
    assert "1 passed, 4 skipped" in ran.stdout
