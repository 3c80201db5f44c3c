"""``loadbell users``: on the server, beside one that runs."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import Completed, loadbell
from tests.support.server import Client, Server, set_up
from tests.support.stores import KEY

EMAIL = "owner@example.org"


@pytest.fixture
def setup_output(tmp_path: Path) -> dict[str, object]:
    """What setup printed for a new server in ``tmp_path``."""
    return set_up(tmp_path)


@pytest.fixture
def server(setup_output: dict[str, object], tmp_path: Path) -> Iterator[Server]:
    """That server, running."""
    with Server(tmp_path) as server:
        yield server


def _users(folder: Path, *words: str, stdin: str = "", **environment: str) -> Completed:
    return loadbell("users", *words, stdin=stdin, LOADBELL_DATA_DIR=str(folder), **environment)


def _enter(url: str, password: object) -> int:
    return Client(url).call("POST", "/sessions", {"email": EMAIL, "password": password}).status


def test_a_password_is_reset_beside_a_running_server(
    setup_output: dict[str, object], server: Server, tmp_path: Path
) -> None:
    """The printed password lets in, the former one does not, sessions end at once, and API tokens go on working."""
    session = Client(server.url).ok("POST", "/sessions", {"email": EMAIL, "password": setup_output["password"]})[
        "session"
    ]
    process = _users(tmp_path, "reset-password", "Owner@Example.org", "--json")
    answer = json.loads(process.stdout)

    assert (0, "") == (process.returncode, process.stderr)
    assert ["email", "sessions_ended", "password"] == list(answer)
    assert 1 == answer["sessions_ended"]
    assert (401, 201) == (_enter(server.url, setup_output["password"]), _enter(server.url, answer["password"]))
    assert 401 == Client(server.url, session).call("GET", "/account").status
    assert 200 == Client(server.url, str(setup_output["token"])).call("GET", "/runs").status
    assert answer["password"] not in server.log.read_text()


def test_a_password_comes_from_stdin(setup_output: dict[str, object], server: Server, tmp_path: Path) -> None:
    """Then it is not printed; what can't be a password is refused, unseen, and changes nothing."""
    short = _users(tmp_path, "reset-password", EMAIL, "--password-stdin", stdin="sentinel\n")
    process = _users(tmp_path, "reset-password", EMAIL, "--password-stdin", stdin="another horse\n")

    assert (1, "") == (short.returncode, short.stdout)
    assert "password: use 10 to 1000 characters" in short.stderr
    assert "sentinel" not in short.stderr
    assert 0 == process.returncode
    assert "another horse" not in process.stdout + process.stderr
    assert "API tokens keep working" in process.stdout
    assert 201 == _enter(server.url, "another horse")


def test_users_are_listed(setup_output: dict[str, object], tmp_path: Path) -> None:
    """For people and as JSON, also while no server runs; no hash is shown."""
    listed, told = _users(tmp_path, "list", "--json"), _users(tmp_path, "list")
    (user,) = json.loads(listed.stdout)["items"]

    assert ["user_id", "email", "name", "created_at"] == list(user)
    assert (setup_output["user_id"], EMAIL) == (user["user_id"], user["email"])
    assert EMAIL in told.stdout
    assert "argon2" not in listed.stdout + told.stdout


def test_nobody_of_that_address(setup_output: dict[str, object], tmp_path: Path) -> None:
    """Exit code 1, saying so and where to look."""
    process = _users(tmp_path, "reset-password", "nobody@example.org")

    assert (1, "") == (process.returncode, process.stdout)
    assert "There is no user nobody@example.org." in process.stderr
    assert "users list" in process.stderr


def test_a_write_waits_for_another_one(setup_output: dict[str, object], server: Server, tmp_path: Path) -> None:
    """While another process writes to the same file, the command waits for it instead of failing."""
    (path,) = tmp_path.glob("*.sqlite3")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(1, other.execute, ["ROLLBACK"])
        release.start()
        process = _users(tmp_path, "reset-password", EMAIL)
        release.join()

    assert 0 == process.returncode, process.stderr


@pytest.mark.parametrize("revision", ["0002", "9999"])
def test_a_schema_of_another_version_is_left_alone(
    setup_output: dict[str, object], tmp_path: Path, revision: str
) -> None:
    """Exit code 4: only a server migrates."""
    (path,) = tmp_path.glob("*.sqlite3")
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE alembic_version SET version_num = '{revision}'")
        database.commit()
    process = _users(tmp_path, "list")
    with closing(sqlite3.connect(path)) as database:
        (kept,) = database.execute("SELECT version_num FROM alembic_version").fetchone()

    assert (4, "") == (process.returncode, process.stdout)
    assert f"has schema {revision}" in process.stderr
    assert revision == kept


def test_no_database_is_made(tmp_path: Path) -> None:
    """Exit code 4 where there is none, and there is none afterwards, nor a key."""
    process = _users(tmp_path, "list")

    assert (4, "") == (process.returncode, process.stdout)
    assert "loadbell setup" in process.stderr
    assert [] == list(tmp_path.iterdir())


def test_another_key_or_file_is_refused(setup_output: dict[str, object], tmp_path: Path) -> None:
    """Exit code 4 for the key of another server, and for a file that is no database; both are named."""
    other = _users(tmp_path, "list", LOADBELL_SECRET_KEY=KEY)
    junk = tmp_path / "junk.sqlite3"
    junk.write_bytes(b"no database" * 1000)
    wrong = _users(tmp_path, "list", LOADBELL_DATABASE_URL=f"sqlite:///{junk}")

    assert (4, True) == (other.returncode, "LOADBELL_SECRET_KEY" in other.stderr)
    assert (4, True) == (wrong.returncode, f"{junk} is damaged" in wrong.stderr)


def test_postgresql(postgres_store: str, tmp_path: Path) -> None:
    """The same commands work on PostgreSQL."""
    environment = {"LOADBELL_DATABASE_URL": postgres_store, "LOADBELL_SECRET_KEY": KEY}
    set_up(tmp_path, environment)
    with Server(tmp_path, environment) as server:
        process = _users(tmp_path, "reset-password", EMAIL, "--password-stdin", stdin="another horse\n", **environment)

        assert 0 == process.returncode, process.stderr
        assert 201 == _enter(server.url, "another horse")
