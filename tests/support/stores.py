"""
Real stores for the tests below the front ends, quick to make: a migrated database is copied, not migrated again.

``play`` opens one with an organization in it, runs a scenario on it and closes it; time and chance are the scenario's.
"""

import asyncio
import inspect
import random
import shutil
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import pytest

from loadbell.accounts.authentication import authenticate
from loadbell.accounts.organizations import set_up
from loadbell.domain.channels import Channel, Subscription
from loadbell.domain.ids import SECOND, Entropy, Micros
from loadbell.domain.orgs import Principal, Role, Scope
from loadbell.domain.runs import Run, RunStatus, Trigger
from loadbell.notify.channels import create_channel
from loadbell.outbound.addresses import AddressPolicy
from loadbell.runs.lifecycle import NewRun, Report, create_run, report_run
from loadbell.store.engine.db import Database, Row, Transaction
from loadbell.store.engine.migrate import upgrade_postgresql, upgrade_sqlite
from loadbell.store.engine.postgresql import PostgresDatabase
from loadbell.store.engine.secrets import SecretBox
from loadbell.store.engine.sqlite import FileLock, SqliteDatabase
from loadbell.store.engine.statements import Statement
from loadbell.store.organizations import assign_project, insert_member, insert_project
from loadbell.store.schema import metadata
from loadbell.store.unit_of_work import Installation, PrincipalT, UnitOfWork
from loadbell.store.users import insert_user
from tests.support.postgres import Databases

T = TypeVar("T")

KEY = "bG9hZGJlbGwtdGVzdHMtb25seS0zMi1ieXRlcy1rZXk="
"""A secret key for tests only."""

NOON: Micros = 1_800_000_000 * SECOND
"""When scenarios begin."""

WATCHDOG: Micros = 120 * SECOND
DAY: Micros = 86_400 * SECOND
PAUSE_AFTER: Micros = 5 * DAY
HOLD_FOR: Micros = 7 * DAY
LOOPBACK = AddressPolicy((ip_network("127.0.0.0/8"),))
INSTALLATION = Installation("https://loadbell.example.org", policy=LOOPBACK, default_watchdog=WATCHDOG)
"""What the operator has decided, where a test says nothing else."""


_ON_POSTGRESQL_ONLY = {"tests.api.test_bad_input", "tests.api.test_schemathesis"}
"""Modules whose requests mostly end before a statement is run: one engine is enough, the one that refuses more."""


def _engines(module: str) -> list[str]:
    """What the tests of a module run on. Pages: on one engine; their SQL is proven on both by the use cases' tests."""
    if module in _ON_POSTGRESQL_ONLY:
        return ["postgresql"]
    both = ["sqlite", "postgresql"]
    return [both[zlib.crc32(module.encode()) % 2]] if module.startswith("tests.web") else both


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Chooses the engines of a module whose tests have the whole server."""
    if "new_store" in metafunc.fixturenames:
        metafunc.parametrize("new_store", _engines(metafunc.module.__name__), indirect=True, scope="module")


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> Micros:
        """The present instant."""
        return self.now

    def advance(self, span: Micros) -> None:
        """Lets time pass."""
        self.now += span


class WallClock(Clock):
    """The system's clock, for scenarios in which a worker runs."""

    def __call__(self) -> Micros:
        """The present instant."""
        return time.time_ns() // 1000


def use(database: Database, clock: Callable[[], Micros], entropy: Entropy) -> None:
    """From now on ``database`` takes time and chance from these."""
    changed = cast(Any, database)
    changed.clock, changed.entropy = clock, entropy


def as_of(tx: Transaction, now: Micros) -> Transaction:
    """``tx``, in which it is ``now``."""
    cast(Any, tx).now = now
    return tx


def unit_of(
    tx: Transaction, principal: PrincipalT, installation: Installation = INSTALLATION
) -> UnitOfWork[PrincipalT]:
    """The unit of work that a front end makes for ``principal``, who has the organization alone."""
    return UnitOfWork(tx, principal, installation, is_exclusive=True)


@dataclass
class Site:
    """An open store with one organization, as its owner sees it. ``do`` calls use cases with ambient values."""

    database: Database
    owner: Principal
    project_id: int
    clock: Clock = field(default_factory=Clock)
    chance: random.Random = field(default_factory=lambda: random.Random(8025))
    installation: Installation = field(default_factory=lambda: INSTALLATION)

    @property
    def organization_id(self) -> int:
        """The organization of ``owner``."""
        return self.owner.organization_id

    def __post_init__(self) -> None:
        """Gives the database the scenario's time and chance."""
        use(self.database, self._now, self.chance.randbytes)

    def _now(self) -> Micros:
        return self.clock()  # whichever it is then

    async def do(
        self, use_case: Callable[..., Coroutine[Any, Any, T]], *args: Any, at: Micros | None = None, **given: Any
    ) -> T:
        """Runs one use case (for the principal that ``args`` begin with) or store function in its own transaction.

        ``at``: as if it were then. ``installation``: where the operator has decided otherwise than the site's.
        """
        return await self.database.write(
            lambda tx: self.call(use_case, tx if at is None else as_of(tx, at), *args, **given)
        )

    def call(
        self,
        use_case: Callable[..., Coroutine[Any, Any, T]],
        tx: Transaction,
        *args: Any,
        installation: Installation | None = None,
        **given: Any,
    ) -> Coroutine[Any, Any, T]:
        """As :meth:`do`, within a transaction that is open."""
        if next(iter(inspect.signature(use_case).parameters)) == "unit":
            return use_case(unit_of(tx, args[0], installation or self.installation), *args[1:], **given)
        return use_case(tx, *args, **given)

    async def rows(self, sql: str, **values: Any) -> list[Row]:
        """What a query gives, written for both databases."""
        return list(await self.database.write(lambda tx: tx.all(Statement(sql), **values)))

    async def run_sql(self, sql: str, **values: Any) -> int:
        """Changes rows behind the back of the code under test."""
        return await self.database.write(lambda tx: tx.run(Statement(sql), **values))

    async def channel(
        self, url: str = "http://127.0.0.1:9/hook", principal: Principal | None = None, **given: Any
    ) -> Channel:
        """A new WebHook channel."""
        asker = principal or self.owner
        values: dict[str, Any] = {
            "kind": "webhook",
            "name": "receiver",
            "settings": {"url": url},
            "subscription": Subscription(),
            "enabled": True,
            **given,
        }
        channel, _ = await self.do(create_channel, asker, asker.organization_id, **values)
        return channel

    async def run(self, principal: Principal | None = None, **given: Any) -> Run:
        """A new run; Running unless told otherwise."""
        return await self.do(create_run, principal or self.owner, NewRun(**{"name": "Load test", **given}))

    async def report(self, run: Run, status: RunStatus | None = None, **given: Any) -> Run:
        """What its source says about a run."""
        return await self.do(report_run, self.owner, run.id, Report(status=status, **given))

    async def person(self, role: Role, projects: tuple[int, ...] = (), scope: Scope = Scope.MANAGE) -> Principal:
        """Somebody of that role in the same organization, assigned to these projects."""

        async def join(tx: Transaction) -> int:
            email = f"{self.chance.randbytes(8).hex()}@example.org"
            user = await insert_user(tx, email=email, name="Ann", password_hash="-")
            await insert_member(tx, self.organization_id, user, role)
            for project in projects:
                await assign_project(tx, project, user)
            return user

        user_id = await self.database.write(join)
        assigned = frozenset(projects) if role is Role.MEMBER else None
        return replace(self.owner, user_id=user_id, role=role, scope=scope, projects=assigned)

    async def project(self, organization_id: int | None = None) -> int:
        """A further project."""
        return await self.do(insert_project, organization_id or self.organization_id, "Another project")


Scenario = Callable[[Site], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


def sqlite_path(url: str) -> Path:
    """The file of a SQLite URL."""
    return Path(unquote(urlsplit(url).path))


@asynccontextmanager
async def open_store(url: str, keys: tuple[str, ...] = (KEY,)) -> AsyncIterator[Database]:
    """The migrated database at ``url``, open."""
    database: Database
    if url.startswith("sqlite"):
        path = sqlite_path(url)
        database = SqliteDatabase(path, FileLock(path), SecretBox(keys))
    else:
        database = await PostgresDatabase.connect(url, SecretBox(keys))
    try:
        yield database
    finally:
        await database.close()


async def settle(database: Database) -> Site:
    """The first organization of an empty database, seen by its owner."""
    use(database, lambda: NOON, random.Random(1).randbytes)
    organization = await database.write(set_up, organization="Example", email="owner@example.org", password_hash="-")
    owner = await database.write(authenticate, organization.token)
    await database.write(lambda tx: tx.run(Statement("DELETE FROM audit_entries")))  # what follows is the test's own
    return Site(database, replace(owner, trigger=Trigger.UNKNOWN), organization.project_id)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "loadbell.sqlite3"
    upgrade_sqlite(path)
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_databases: Databases) -> Iterator[str]:
    """The name of a migrated PostgreSQL database to copy."""
    url = postgres_databases.create()
    asyncio.run(upgrade_postgresql(url))
    yield urlsplit(url).path[1:]
    postgres_databases.drop(url)


class ReusedPostgres:
    """A migrated PostgreSQL database that is emptied between tests: to make and drop one takes longer than most do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[Any] | None = None
        asyncio.run(upgrade_postgresql(url))
        self._revision = asyncio.run(_revision(url))

    def empty(self) -> str:
        """Takes everything out of it; gives its URL."""
        deletions = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]
        revision = f"UPDATE alembic_version SET version_num = '{self._revision}'"
        self._runner.run(self._run("; ".join([*deletions, revision])))
        return self.url

    def close(self) -> None:
        """Lets go of it."""
        if self._connection is not None:
            self._connection.terminate()
        self._runner.close()

    async def _run(self, script: str) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self.url, timeout=60)
            await self._connection.execute(script)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError):
            self._connection = await asyncpg.connect(self.url, timeout=60)  # a test cut all connections
            await self._connection.execute(script)


async def _revision(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=60)
    try:
        return str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def reused_postgres(postgres_databases: Databases) -> Iterator[ReusedPostgres]:
    """The PostgreSQL database that tests of this folder use one after the other."""
    url = postgres_databases.create()
    reused = ReusedPostgres(url)
    yield reused
    reused.close()
    postgres_databases.drop(url)


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated SQLite database."""
    path = tmp_path / "loadbell.sqlite3"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{quote(str(path))}"


@pytest.fixture
def postgres_store(reused_postgres: ReusedPostgres) -> str:
    """The URL of a migrated, empty PostgreSQL database."""
    return reused_postgres.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database; the test runs once on each engine."""
    url: str = request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgres_store")
    return url


@pytest.fixture
def play(store_url: str) -> Play:
    """Plays a scenario on each engine."""
    return lambda scenario: play_on(store_url, scenario)


@pytest.fixture
def play_on_sqlite(sqlite_store: str) -> Play:
    """Plays a scenario on SQLite only."""
    return lambda scenario: play_on(sqlite_store, scenario)


@pytest.fixture
def play_on_postgresql(postgres_store: str) -> Play:
    """Plays a scenario on PostgreSQL only."""
    return lambda scenario: play_on(postgres_store, scenario)


def play_on(url: str, scenario: Scenario) -> None:
    """Plays ``scenario`` on the migrated, empty database at ``url``."""

    async def whole() -> None:
        async with open_store(url) as database:
            await scenario(await settle(database))

    asyncio.run(whole())


def column_values(row: Row, *names: str) -> tuple[Any, ...]:
    """Some columns of a row, to compare."""
    return tuple(row[name] for name in names)


def as_dict(row: Row) -> Mapping[str, Any]:
    """All columns of a row, to compare."""
    return dict(row)  # type: ignore[call-overload, no-any-return]  # both drivers' rows are mappings
