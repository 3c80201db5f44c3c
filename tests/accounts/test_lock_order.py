"""Units of work that meet in PostgreSQL hold nothing that the other one waits for. SQLite has one writer at a time."""

import asyncio

from loadbell.accounts.credentials import hash_credential
from loadbell.accounts.password_resets import complete_reset
from loadbell.accounts.rate_limit import Bucket, take_tokens
from loadbell.domain.errors import NotFound
from loadbell.domain.ids import SECOND
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.password_resets import delete_resets, insert_reset
from loadbell.store.rate_limits import take_token
from loadbell.store.users import lock_user
from tests.support.hashing import hashing
from tests.support.stores import Play, Site

WAITS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def _somebody_waits(site: Site) -> None:
    while not await site.rows(WAITS):  # noqa: ASYNC110 - the database has no event for it
        await asyncio.sleep(0.01)


def test_a_link_that_is_used_waits_for_its_user_before_it_holds_anything(play_on_postgresql: Play) -> None:
    """As whoever asks for another link does: so that of the two nobody waits in a circle."""

    async def scenario(site: Site) -> None:
        user_id = site.owner.user_id
        await site.do(
            insert_reset, user_id=user_id, reset_hash=hash_credential("link"), expires_at=site.clock() + 60 * SECOND
        )
        with hashing() as passwords:

            async def ask(tx: Transaction) -> asyncio.Task[int]:
                await lock_user(tx, user_id)
                accepting = asyncio.create_task(
                    complete_reset(site.database, passwords, "link", "correct horse", address=None)
                )
                await _somebody_waits(site)
                assert await tx.all(Statement("SELECT hash FROM password_resets FOR UPDATE NOWAIT"))
                await delete_resets(tx, user_id)
                return accepting

            accepting = await site.database.write(ask)
            (outcome,) = await asyncio.gather(accepting, return_exceptions=True)

        assert isinstance(outcome, NotFound)

    play_on_postgresql(scenario)


def test_an_attempt_that_waits_for_its_turn_holds_no_bucket_of_others(play_on_postgresql: Play) -> None:
    """Full buckets are removed after the turns were taken, whose order keeps attempts from waiting in a circle."""

    async def scenario(site: Site) -> None:
        mine, full = (Bucket(TokenBucket(SECOND, 5), (word,)) for word in ("mine", "full"))
        await site.do(take_token, full.key, full.limit)
        site.clock.advance(60 * SECOND)

        async def hold(tx: Transaction) -> asyncio.Task[None]:
            await take_token(tx, mine.key, mine.limit)
            attempt = asyncio.create_task(site.database.write(take_tokens, [mine]))
            await _somebody_waits(site)
            assert await tx.all(
                Statement("SELECT key FROM attempt_paces WHERE key = :key FOR UPDATE NOWAIT"), key=full.key
            )
            return attempt

        await (await site.database.write(hold))

        assert [mine.key] == [row["key"] for row in await site.rows("SELECT key FROM attempt_paces")]

    play_on_postgresql(scenario)
