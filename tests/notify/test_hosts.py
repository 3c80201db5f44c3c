"""However many channels lead to one host, a worker sends to it by a limited number at once."""

from typing import Any

from loadbell.domain.ids import SECOND
from loadbell.notify import deliveries
from loadbell.notify.worker.hosts import MAX_PER_HOST
from loadbell.testing.receiver import ScriptedReceiver, hang, respond
from tests.support.leasing import DeliveryRow
from tests.support.stores import Site
from tests.support.working import run_with_worker, wait_for_rows

MORE = 40


def test_one_host_has_a_limited_number_of_places(store_url: str) -> None:
    """What is too much waits with no attempt counted, another host is told meanwhile, and in the end all are told."""

    async def scenario(site: Site) -> None:
        for _ in range(MAX_PER_HOST + MORE):
            await site.channel(crowded.url)
        other = await site.channel(free.url)
        await site.run()

        def full(rows: list[DeliveryRow]) -> bool:
            waiting = [row for row in rows if row["status"] == "pending" and row["attempts_started"] == 0]
            told = [row["channel_id"] for row in rows if row["status"] == "delivered"]
            return (len(waiting), told) == (MORE, [other.id]) and crowded.connects >= MAX_PER_HOST

        await wait_for_rows(site, full)
        connected = crowded.connects
        crowded.play([respond()])
        await wait_for_rows(site, lambda rows: all(row["status"] == "delivered" for row in rows))

        assert MAX_PER_HOST == connected

    with ScriptedReceiver() as crowded, ScriptedReceiver() as free:
        crowded.play([hang()])
        free.play([respond()])
        run_with_worker(store_url, scenario, deadline=4 * SECOND)


def test_one_host_has_a_limited_number_of_places_for_test_hooks(store_url: str) -> None:
    """However many are pressed, beside what its channels send; another host is tested meanwhile."""

    async def scenario(site: Site) -> None:
        for url in [crowded.url] * (MAX_PER_HOST + MORE) + [free.url]:
            form: dict[str, Any] = {"kind": "webhook", "settings": {"url": url}}
            await site.do(deliveries.test_form, site.owner, site.organization_id, **form)
        await site.channel(free.url)
        await site.run()

        def full(rows: list[DeliveryRow]) -> bool:
            waiting = [row for row in rows if row["status"] == "pending" and row["attempts_started"] == 0]
            items = [row for row in rows if row["status"] == "delivered"]
            return (len(waiting), len(items)) == (MORE, 2) and crowded.connects >= MAX_PER_HOST

        await wait_for_rows(site, full)
        connected = crowded.connects
        crowded.play([respond()])
        await wait_for_rows(site, lambda rows: all(row["status"] in {"delivered", "failed"} for row in rows))

        assert MAX_PER_HOST == connected

    with ScriptedReceiver() as crowded, ScriptedReceiver() as free:
        crowded.play([hang()])
        free.play([respond()])
        run_with_worker(store_url, scenario, deadline=8 * SECOND)
