"""``loadbell backup``: a whole copy that only its owner reads, made beside a running server."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import Completed, loadbell
from tests.support.server import Client, Server, set_up, wait_until

HOOK = {"url": "http://127.0.0.1:9/sentinel", "headers": {"X-Key": "sentinel"}}


def _backup(folder: Path, *words: str, **environment: str) -> Completed:
    return loadbell("backup", *words, LOADBELL_DATA_DIR=str(folder), **environment)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_copy_is_made_beside_a_running_server_and_can_be_restored(tmp_path: Path) -> None:
    """What was answered is in it; put in the place of the database, with the key, it serves as before."""
    data, restored, file = tmp_path / "data", tmp_path / "restored", tmp_path / "copy.sqlite3"
    body = set_up(data)
    with Server(data) as server:
        client = Client(server.url, str(body["token"]))
        channels = f"/organizations/{body['organization_id']}/channels"
        channel = client.ok("POST", channels, {"kind": "webhook", "name": "Gate", "settings": HOOK})
        run = client.ok("POST", "/runs", {"name": "before"})
        process = _backup(data, str(file))
        client.ok("POST", "/runs", {"name": "after"})

    assert (0, "") == (process.returncode, process.stderr)
    assert str(data / "secret.key") in process.stdout
    assert 0o600 == _mode(file)
    assert {"copy.sqlite3", "data"} == {path.name for path in tmp_path.iterdir()}
    assert b"sentinel" not in file.read_bytes()
    with closing(sqlite3.connect(file)) as copy:
        assert [("ok",)] == copy.execute("PRAGMA integrity_check").fetchall()
    restored.mkdir()
    shutil.copy(file, restored / "loadbell.sqlite3")
    shutil.copy(data / "secret.key", restored / "secret.key")
    with Server(restored, {"LOADBELL_ALLOWED_NETWORKS": "127.0.0.0/8"}) as server:
        client = Client(server.url, str(body["token"]))
        assert ["before"] == [one["name"] for one in client.ok("GET", "/runs")["items"]]
        assert "http://127.0.0.1:9/…" == client.ok("GET", f"/channels/{channel['id']}")["settings"]["url"]
        delivery = client.ok("GET", f"/runs/{run['id']}/deliveries")["items"][0]["id"]
        wait_until(lambda: client.ok("GET", f"/deliveries/{delivery}")["attempt_count"] > 0)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_that_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """0600: others never read it, and its owner always does. The data folder is the owner's alone, too."""
    data, file = tmp_path / "data", tmp_path / "copy"
    set_up(data)
    program = f"import os, sys; os.umask({umask}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    subprocess.run(
        [sys.executable, "-c", program, "-m", "loadbell", "backup", str(file)],
        env=os.environ | {"LOADBELL_DATA_DIR": str(data)},
        check=True,
        capture_output=True,
        timeout=60,
    )

    assert 0o600 == _mode(file)
    assert 0o700 == _mode(data)
    assert {0o600} == {_mode(path) for path in data.iterdir()}


def test_json_says_what_was_written(tmp_path: Path) -> None:
    """File, size and where the key is; null if the key is a setting."""
    data, file = tmp_path / "data", tmp_path / "copy"
    set_up(data)
    key = (data / "secret.key").read_text()
    first = json.loads(_backup(data, str(file), "--json").stdout)
    second = json.loads(_backup(data, str(tmp_path / "other"), "--json", LOADBELL_SECRET_KEY=key).stdout)

    assert {"file": str(file), "bytes": file.stat().st_size, "key_file": str(data / "secret.key")} == first
    assert second["key_file"] is None


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """An existing file, also a dangling link or the database itself, is never overwritten: exit code 1."""
    data, file, link = tmp_path / "data", tmp_path / "copy", tmp_path / "link"
    set_up(data)
    file.write_text("last week's")
    link.symlink_to(tmp_path / "nowhere")
    database = data / "loadbell.sqlite3"
    before = database.read_bytes()

    for path in (file, link, database):
        process = _backup(data, str(path))
        assert (1, "") == (process.returncode, process.stdout)
        assert "already exists; nothing was written." in process.stderr
    assert "last week's" == file.read_text()
    assert not (tmp_path / "nowhere").exists()
    assert before == database.read_bytes()


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        ("", 4, "There is no database"),
        ("empty", 4, "is empty or isn't loadbell's"),
        ("thesis", 3, "can't be copied"),
    ],
)
def test_without_a_database_nothing_is_written(tmp_path: Path, prepare: str, code: int, words: str) -> None:
    """A folder without one, an empty file and a foreign file are told as such, and leave no copy behind."""
    data, target = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    target.mkdir()
    if prepare:
        (data / "loadbell.sqlite3").write_text("" if prepare == "empty" else "my thesis\n" * 1000)
    process = _backup(data, str(target / "copy"))

    assert (code, "") == (process.returncode, process.stdout)
    assert words in process.stderr
    assert [] == list(target.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Exit code 1 and what to look at."""
    set_up(tmp_path)
    process = _backup(tmp_path, str(tmp_path / "nowhere" / "copy"))

    assert (1, "") == (process.returncode, process.stdout)
    assert "can't be written: No such file or directory." in process.stderr


def test_postgresql_has_its_own_tool(tmp_path: Path) -> None:
    """Exit code 4 and the command to use; nothing is connected and nothing written."""
    url = "postgresql://loadbell:opensesame@127.0.0.1:1/loadbell"
    process = _backup(tmp_path, str(tmp_path / "copy"), LOADBELL_DATABASE_URL=url)

    assert (4, "") == (process.returncode, process.stdout)
    assert "pg_dump" in process.stderr
    assert "opensesame" not in process.stderr
    assert [] == list(tmp_path.iterdir())
