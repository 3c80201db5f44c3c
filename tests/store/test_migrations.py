"""The schema that the revisions make is the schema that the code speaks of, and versions don't mix."""

import asyncio
import json
import sqlite3
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from loadbell.settings import Settings, load_settings
from loadbell.store.engine import migrate as migrate_module
from loadbell.store.engine.migrate import check_postgresql, upgrade_postgresql, upgrade_sqlite
from loadbell.store.engine.open import migrate, open_database
from loadbell.store.engine.problems import Unreachable, WrongState
from loadbell.store.schema import metadata
from tests.support.inside import inside
from tests.support.postgres import Databases
from tests.support.stores import KEY, sqlite_path


def _settings(url: str, data_dir: Path) -> Settings:
    return load_settings({"LOADBELL_DATABASE_URL": url, "LOADBELL_DATA_DIR": str(data_dir), "LOADBELL_SECRET_KEY": KEY})


def _shape(connection: sa.Connection) -> list[tuple[object, ...]]:
    """Every table, column, constraint and index as the database itself describes it, but for Alembic's own table."""
    if connection.dialect.name == "sqlite":
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"
        described = [query]
    else:
        described = [
            (
                "SELECT table_name, column_name, data_type, is_nullable, collation_name, is_identity, column_default "
                "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
            ),
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
            (
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass"
            ),
        ]
    rows = [tuple(row) for query in described for row in connection.execute(sa.text(query))]
    # The order of columns and constraints within SQLite's CREATE TABLE says nothing: added columns come last.
    return sorted((tuple(_definitions(part) for part in row) for row in rows), key=repr)


def _definitions(part: object) -> object:
    if not isinstance(part, str) or not part.startswith("CREATE TABLE"):
        return part
    head, _, inside = part.partition("(")
    depth, words = 0, [""]
    for character in " ".join(inside.rpartition(")")[0].split()):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            words.append("")
        else:
            words[-1] += character
    # A table that a migration had to copy has its name in quotes, which says nothing either.
    return head.replace('"', "").split(), sorted(word.strip() for word in words)


def test_the_revisions_make_the_schema_of_the_code(store_url: str) -> None:
    """Alembic finds nothing to change between a migrated database and the tables that the code names."""
    found = inside(store_url, lambda connection: compare_metadata(MigrationContext.configure(connection), metadata))

    assert [] == found


def test_a_migrated_database_equals_one_made_from_the_tables(
    store_url: str, database_url: str, postgres_databases: Databases, tmp_path: Path
) -> None:
    """Column by column and index by index, predicates and collations included, which Alembic does not compare."""
    if store_url.split(":", 1)[0] != database_url.split(":", 1)[0]:
        return  # the other engine's half of this pair of fixtures
    other = str(tmp_path / "other.sqlite3")
    fresh = f"sqlite:///{other}" if store_url.startswith("sqlite") else database_url

    def make(connection: sa.Connection) -> list[tuple[object, ...]]:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        metadata.create_all(connection)
        return _shape(connection)

    assert inside(fresh, make) == inside(store_url, _shape)


def test_the_former_only_failures_is_made_the_present_one(store_url: str) -> None:
    """What the page stored for Only failures becomes that, with its projects and triggers; other choices stay."""
    page = {"events": ["test.finished"], "statuses": [4, 8, 9, 11, 12], "results": [], "only_on_change": False}
    rest = {"projects": [1], "triggers": ["ci"]}
    before = [
        {**page, **rest},
        {**page, "projects": [], "triggers": []},
        {**page, **rest, "results": ["failed"]},
        {**page, **rest, "only_on_change": True},
        {**page, **rest, "statuses": [4, 8, 9, 11]},
        {**page, **rest, "events": []},
        {},
    ]
    scripts = ScriptDirectory(str(Path(migrate_module.__file__).parent / "migrations"))
    [revision] = [one for one in scripts.walk_revisions() if one.path.endswith("_only_failures.py")]

    def upgraded(connection: sa.Connection) -> list[dict[str, object]]:
        connection.execute(sa.text("INSERT INTO organizations (id, name, created_at) VALUES (1, 'Ours', 0)"))
        for number, subscription in enumerate(before, 1):
            values = {
                "id": number, "organization_id": 1, "kind": "webhook", "name": "n", "settings": "", "enabled": True,
                "signing_secrets": "", "subscription": json.dumps(subscription), "throttled_until": 0, "created_at": 0,
            }  # fmt: skip
            connection.execute(sa.insert(metadata.tables["channels"]).values(values))
        with Operations.context(MigrationContext.configure(connection)):
            revision.module.upgrade()
        rows = connection.execute(sa.text("SELECT subscription FROM channels ORDER BY id")).all()
        return [json.loads(row.subscription) for row in rows]

    failures = {**page, "statuses": [], "only_failures": True}
    assert [{**failures, **rest}, {**failures, "projects": [], "triggers": []}, *before[2:]] == inside(
        store_url, upgraded
    )


def test_migrating_twice_changes_nothing(database_url: str, tmp_path: Path) -> None:
    """The second time finds the work done."""
    settings = _settings(database_url, tmp_path)
    asyncio.run(migrate(settings))
    first = inside(database_url, _shape)
    asyncio.run(migrate(settings))

    assert first == inside(database_url, _shape)


def test_migrating_at_the_same_time_is_harmless(postgres_url: str) -> None:
    """Of several that migrate one PostgreSQL database at once, one does it and the others find it done."""

    async def together() -> None:
        await asyncio.gather(*(upgrade_postgresql(postgres_url) for _ in range(4)))
        await check_postgresql(postgres_url)

    asyncio.run(together())


def test_a_newer_schema_is_refused(store_url: str, tmp_path: Path) -> None:
    """A database that a newer version migrated is left alone, and the message says what to install."""
    change = sa.text("UPDATE alembic_version SET version_num = '9999'")
    inside(store_url, lambda connection: connection.execute(change))
    settings = _settings(store_url, tmp_path)

    for refused in (migrate, open_database):
        with pytest.raises(WrongState, match="newer loadbell"):
            asyncio.run(refused(settings))


def test_an_empty_postgresql_must_be_migrated_first(postgres_url: str, tmp_path: Path) -> None:
    """Nobody but ``loadbell migrate`` does it: serve does not change PostgreSQL by itself."""
    with pytest.raises(WrongState, match="loadbell migrate"):
        asyncio.run(open_database(_settings(postgres_url, tmp_path)))


def test_an_empty_sqlite_is_made_when_it_is_opened(sqlite_url: str, tmp_path: Path) -> None:
    """The file appears, migrated, readable by its owner's tools, in WAL mode."""

    async def once() -> None:
        database = await open_database(_settings(sqlite_url, tmp_path))
        await database.close()

    asyncio.run(once())
    with sqlite3.connect(sqlite_path(sqlite_url)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()

    assert ("wal",) == mode
    assert inside(sqlite_url, _shape)


def test_a_file_that_is_no_database_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    """It is not overwritten, and the message names it."""
    path = sqlite_path(sqlite_url)
    path.write_bytes(b"my thesis\n" * 1000)

    with pytest.raises(WrongState, match=r"loadbell\.sqlite3"):
        asyncio.run(open_database(_settings(sqlite_url, tmp_path)))
    assert b"my thesis\n" * 1000 == path.read_bytes()


def test_a_migration_that_fails_leaves_no_half(sqlite_url: str) -> None:
    """When one table is in the way, none of the others is made."""
    path = sqlite_path(sqlite_url)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (x)")
    connection.close()

    with pytest.raises(WrongState, match="the database is unchanged"):
        upgrade_sqlite(path)
    with sqlite3.connect(path) as connection:
        left = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert [("runs",)] == left


def test_a_postgresql_migration_that_fails_leaves_no_half(postgres_url: str) -> None:
    """The same on PostgreSQL."""

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("CREATE TABLE runs (x int)")
        await connection.close()

    asyncio.run(prepare())
    with pytest.raises((Unreachable, WrongState)):
        asyncio.run(upgrade_postgresql(postgres_url))
    left = inside(
        postgres_url,
        lambda connection: connection.execute(
            sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all(),
    )
    assert [("runs",)] == left


@pytest.mark.parametrize(
    "url",
    ["postgresql://loadbell:sentinel-password@127.0.0.1:1/x", "postgresql://loadbell:sentinel-password@[::1]:1/x"],
)
def test_a_server_that_does_not_answer_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    """The message says which server and what to check, and never shows the password."""
    for tried in (migrate, open_database):
        with pytest.raises(Unreachable) as refused:
            asyncio.run(tried(_settings(url, tmp_path)))
        assert any(place in str(refused.value) for place in ("127.0.0.1:1/x", "[::1]:1/x"))
        assert "sentinel-password" not in str(refused.value)


def test_a_wrong_password_is_not_shown(postgres_url: str, tmp_path: Path) -> None:
    """A server that does not let us in is told apart from one that is away, without the password."""
    password = postgres_url.split(":")[2].split("@", maxsplit=1)[0]
    wrong = postgres_url.replace(password, "sentinel-password")

    with pytest.raises(Unreachable) as refused:
        asyncio.run(open_database(_settings(wrong, tmp_path)))
    assert "sentinel-password" not in str(refused.value)
