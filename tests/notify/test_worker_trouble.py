"""The worker when things go wrong around it, on both stores: receivers, the database, its own end."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from loadbell.domain.ids import SECOND
from loadbell.domain.runs import RunStatus
from loadbell.notify.worker import loop
from loadbell.store.engine import sqlite as sqlite_module
from loadbell.store.engine.statements import Statement
from loadbell.testing.receiver import (
    Behaviour,
    Received,
    ScriptedReceiver,
    close,
    cut_off,
    gzip_bomb,
    hang,
    raw,
    redirect,
    reset,
    respond,
)
from tests.support.leasing import delivery_rows
from tests.support.stores import Site, WallClock, open_store, settle, sqlite_path
from tests.support.working import (
    event_names,
    free_port,
    reasons,
    run_with_worker,
    start_worker,
    wait_for_end,
    wait_for_rows,
    wait_for_status,
)

STARTED, FINISHED = "test.started", "test.finished"
CUT = Statement(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
REFUSE = Statement(
    "CREATE TRIGGER refuse BEFORE INSERT ON attempts WHEN NEW.message LIKE '%418%' "
    "BEGIN SELECT RAISE(ABORT, 'this result is refused'); END"
)
ODD = [
    raw(b"HTTP/1.1 200 OK\r\nX-Odd: \xff\xfe\r\nContent-Length: 4\r\n\r\n\xff\x00\xfea"),
    raw(b"HTTP/1.1 500 \xc3\xbc\r\nX-Nul: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    raw(b"\x00\x01\x02"),
    raw(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
    raw(b"HTTP/1.1 429 Slow\r\nRetry-After: \xff\x00soon\r\nContent-Length: 0\r\n\r\n"),
    raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    respond(500, body=b"\x00" * 5000),
    respond(500, {f"X-{number}": "x" * 500 for number in range(60)}),
    respond(500, body="\ud7ff🔔".encode() * 2000),
    gzip_bomb(),
    redirect("http://127.0.0.1:1/"),
    close(),
    reset(),
    reset(after=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
    cut_off(),
]


@contextmanager
def _locked(store: str) -> Iterator[None]:
    """Nobody else can write the database meanwhile."""
    with closing(sqlite3.connect(sqlite_path(store), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_no_answer_of_a_receiver_stops_the_worker(store_url: str) -> None:
    """Whatever comes back is recorded, on both databases, and everybody else's news goes on."""

    async def scenario(site: Site) -> None:
        remaining = list(ODD)

        def choose(_: Received) -> Behaviour:
            return remaining.pop() if remaining else respond()

        with ScriptedReceiver(choose) as odd, ScriptedReceiver() as well:
            await site.channel(odd.url)
            await site.channel(well.url)
            for _ in range(len(ODD)):
                await site.run()
            rows = await wait_for_end(site, 2 * len(ODD))

            assert {"delivered"} == {row["status"] for row in rows}
            assert [] == remaining
            logged = await site.rows("SELECT reason FROM attempts WHERE reason <> 'ok'")
            assert {"http_5xx", "http_3xx", "protocol"} <= {row["reason"] for row in logged}

    run_with_worker(store_url, scenario, "50ms," * 20)


@pytest.mark.parametrize("first", ["500", "hang-up"])
def test_the_end_waits_for_an_answer_to_the_start(store_url: str, first: str) -> None:
    """A 500 lets test.finished follow; a connection that was lost does not: there the start goes first again."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(500) if first == "500" else close(), respond()]) as receiver:
            await site.channel(receiver.url)
            await site.report(await site.run(), RunStatus.FINISHED)
            await wait_for_rows(site, lambda rows: rows[0]["attempts_started"] > 0 and rows[0]["status"] != "sending")
            if first == "500":
                await wait_for_rows(site, lambda rows: rows[1]["status"] == "delivered")
            await site.run_sql("UPDATE outbox SET due_at = 0")  # an hour passes
            await wait_for_status(site, "delivered", "delivered")
            expected = [STARTED, FINISHED, STARTED] if first == "500" else [STARTED, STARTED, FINISHED]

            assert expected == event_names(receiver.requests)

    run_with_worker(store_url, scenario, "1h,1h,1h")


def test_the_end_of_a_run_brings_the_retry_of_its_start_forward(store_url: str) -> None:
    """A start whose receiver was down for a moment does not keep the end back for an hour: it is tried at once."""

    async def scenario(site: Site) -> None:
        port = free_port()
        await site.channel(f"http://127.0.0.1:{port}/")
        run = await site.run()
        await wait_for_rows(site, lambda rows: rows[0]["reason"] == "connect")
        with ScriptedReceiver(port=port) as receiver:
            await site.report(run, RunStatus.FINISHED)
            started, _ = await wait_for_status(site, "delivered", "delivered")

            assert [STARTED, FINISHED] == event_names(receiver.requests)
            assert ["connect", "ok"] == [reason for _, reason in await reasons(site, started)]

    run_with_worker(store_url, scenario, "1h,1h")


def test_a_rate_limited_start_is_not_brought_forward(store_url: str) -> None:
    """The receiver asked for the wait; both come after it, in order."""

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(429, {"Retry-After": "1"}), respond()]) as receiver:
            await site.channel(receiver.url)
            run = await site.run()
            await wait_for_rows(site, lambda rows: rows[0]["reason"] == "rate_limited")
            await site.report(run, RunStatus.FINISHED)
            await wait_for_status(site, "delivered", "delivered")
            first, second, _ = receiver.requests

            assert [STARTED, STARTED, FINISHED] == event_names(receiver.requests)
            assert second.arrived_at >= first.arrived_at + SECOND

    run_with_worker(store_url, scenario, "100ms")


def test_stopping_gives_back_what_is_in_flight(store_url: str) -> None:
    """It is pending and due, with no attempt counted, and the next worker delivers it under the same id."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            site.clock = WallClock()
            with ScriptedReceiver([hang(), respond()]) as receiver:
                await site.channel(receiver.url)
                async with start_worker(database):
                    await site.run()
                    await asyncio.to_thread(receiver.wait_for, 1)
                (row,) = await delivery_rows(site)
                assert ("pending", 0, None) == (row["status"], row["attempts_started"], row["lease_owner"])
                async with start_worker(database):
                    await wait_for_status(site, "delivered")

                assert {row["id"]} == {each.header("X-LoadImpact-ID") for each in receiver.requests}
                assert [("scheduled", "ok")] == await reasons(site, row)

    asyncio.run(scenario())


def test_stopping_lets_what_is_in_flight_end(store_url: str) -> None:
    """Within its grace it records the answer, and leases nothing more."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            site.clock = WallClock()
            with ScriptedReceiver([respond(delay=0.5)]) as receiver:
                await site.channel(receiver.url)
                async with start_worker(database) as worker:
                    await site.run()
                    await asyncio.to_thread(receiver.wait_for, 1)
                    stopping = asyncio.create_task(worker.stop(20))
                    await asyncio.sleep(0.1)
                    await site.run()
                    await stopping

                assert 1 == len(receiver.requests)
                assert ["delivered", "pending"] == [
                    row["status"] for row in await site.rows("SELECT status FROM deliveries ORDER BY id")
                ]

    asyncio.run(scenario())


def test_an_answer_that_came_while_the_database_was_away_counts(
    sqlite_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it could not be recorded, longer than its lease, it is recorded then and not sent again."""
    monkeypatch.setattr(sqlite_module, "_BUSY_SECONDS", 0.1)
    monkeypatch.setattr(loop, "LEASE_SLACK", -4 * SECOND)  # with the deadline of 5 s: a lease of 1 s

    async def scenario(site: Site) -> None:
        with ScriptedReceiver([respond(delay=0.4)]) as receiver:
            await site.channel(receiver.url)
            await site.run()
            await asyncio.to_thread(receiver.wait_for, 1)
            with _locked(sqlite_store):
                await asyncio.sleep(1.5)
            (row,) = await wait_for_status(site, "delivered")
            await site.run()
            await wait_for_status(site, "delivered", "delivered")

            assert 2 == len(receiver.requests)
            assert [("scheduled", "ok")] == await reasons(site, row)

    run_with_worker(sqlite_store, scenario)


def test_a_result_that_can_never_be_recorded_holds_up_no_other(
    sqlite_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is let go alone; its lease runs out, and the delivery gets one more attempt. All others are recorded."""
    monkeypatch.setattr(loop, "LEASE_SLACK", -4 * SECOND)  # with the deadline of 5 s: a lease of 1 s
    monkeypatch.setattr(loop, "_AWAY_SECONDS", 0.05)
    monkeypatch.setattr(sqlite_module, "_BUSY_SECONDS", 0.1)

    async def scenario(site: Site) -> None:
        await site.database.write(lambda tx: tx.run(REFUSE))
        well_script, odd_script = [respond(delay=0.2), respond()], [respond(418, delay=0.4), respond()]
        with ScriptedReceiver(odd_script) as odd, ScriptedReceiver(well_script) as well:
            await site.channel(odd.url)
            await site.channel(well.url)
            await site.run()
            await asyncio.to_thread(odd.wait_for, 1)
            await asyncio.to_thread(well.wait_for, 1)
            with _locked(sqlite_store):
                await asyncio.sleep(0.8)  # both have answered by then: their results are recorded together
            for _ in range(3):
                await site.run()
            rows = await wait_for_end(site, 8)

            assert {"delivered"} == {row["status"] for row in rows}
            refused = odd.requests[0].header("X-LoadImpact-ID") or ""
            assert [("scheduled", "internal"), ("scheduled", "ok")] == await reasons(site, refused)
            assert 5 == len(odd.requests)
            assert 4 == len(well.requests)

    run_with_worker(sqlite_store, scenario)


def test_the_worker_survives_lost_connections(postgres_store: str) -> None:
    """Cut off again and again while it works, it delivers everything without a restart."""

    async def scenario() -> None:
        async with open_store(postgres_store) as database, open_store(postgres_store) as other:
            site = await settle(other)
            site.clock = WallClock()
            with ScriptedReceiver([respond(delay=0.01)]) as receiver:
                await site.channel(receiver.url)
                async with start_worker(database):
                    for _ in range(6):
                        for _ in range(5):
                            await site.run()
                        await other.write(lambda tx: tx.all(CUT))
                        await asyncio.sleep(0.05)
                    await site.run_sql("UPDATE outbox SET lease_until = 0 WHERE lease_owner IS NOT NULL")
                    rows = await wait_for_end(site, 30)

                assert {"delivered"} == {row["status"] for row in rows}
                assert {row["id"] for row in rows} == {each.header("X-LoadImpact-ID") for each in receiver.requests}

    asyncio.run(scenario())


def test_a_new_worker_takes_over_from_a_killed_one(store_url: str) -> None:
    """What a worker held when it died is sent by the next one at once, not when a lease expires."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            site.clock = WallClock()
            with ScriptedReceiver() as receiver:
                await site.channel(receiver.url)
                await site.run()
                await site.run_sql(
                    "UPDATE outbox SET lease_owner = 4711, attempts_started = 1, lease_until = :far, leased_at = 0",
                    far=site.clock() + 3600 * SECOND,
                )
                async with start_worker(database):
                    (row,) = await wait_for_status(site, "delivered")

                assert [("scheduled", "internal"), ("scheduled", "ok")] == await reasons(site, row)
                assert 1 == len(receiver.requests)

    asyncio.run(scenario())
