"""The audit log as the operator reads it: every organization's, and what concerns accounts."""

from loadbell.store.audit import (
    Entry,
    Filters,
    append_account_entry,
    append_operator_entry,
    append_system_entry,
    list_full_log,
)
from loadbell.store.engine.db import Transaction
from tests.support.stores import NOON, Play, Site, as_of

EVERYTHING = Filters()


def test_the_operator_reads_the_whole_log(play: Play) -> None:
    """A page at a time, newest first; one organization, one person or one span alone; none of it is left out."""

    async def scenario(site: Site) -> None:
        me = site.owner.user_id

        async def fill(tx: Transaction) -> None:
            for at in range(3):
                await append_system_entry(as_of(tx, NOON + at), 901, "test.ours", "test 1", {})
                await append_account_entry(as_of(tx, NOON + at), me, None, "test.account", {})
            await append_system_entry(tx, 902, "test.theirs", "test 2", {"name": "x"})

        async def look(
            organization_id: int | None = None,
            filters: Filters = EVERYTHING,
            *,
            before: int | None = None,
            limit: int = 99,
        ) -> list[tuple[int | None, Entry]]:
            return await site.database.read(list_full_log, organization_id, filters, before=before, limit=limit)

        await site.database.write(fill)
        items = await look()
        page = await look(limit=2)

        assert [902, None, 901, None, 901, None, 901] == [organization for organization, _ in items][:7]
        assert items[:2] == page
        assert items[2:4] == await look(before=page[-1][1].id, limit=2)
        assert ["test.ours"] * 3 == [entry.action for _, entry in await look(901)]
        assert {me} == {entry.user_id for _, entry in await look(None, Filters(me))}
        await site.do(append_operator_entry, me, "account.password_reset", {})
        await site.do(append_operator_entry, me + 1, "account.password_reset", {})
        assert (f"user {me}", None) == ((await look(None, Filters(me)))[0][1].subject, (await look())[0][1].user_id)
        assert [(902, {"name": "x"})] == [
            (organization, entry.changes) for organization, entry in await look(None, Filters(action="test.theirs"))
        ]
        assert [NOON + 1] == [entry.created_at for _, entry in await look(901, Filters(since=NOON + 1, until=NOON + 2))]

    play(scenario)
