"""What one organization may take at a time: its storm waits within its own share."""

import asyncio
import contextlib

import pytest

from loadbell.domain.errors import RateLimited, Unavailable
from loadbell.entry.shares import ShareLimits, Shares


def test_a_storm_does_not_hold_up_others() -> None:
    """However many of one wait for their turn, another's is there at once; those who wait get theirs in order."""

    async def scene() -> tuple[list[int], bool]:
        shares, served, let = Shares(ShareLimits(max_running=2, max_waiting=10)), list[int](), asyncio.Event()

        async def ask(number: int) -> None:
            async with shares.slot("storm"):
                await let.wait()
                served.append(number)

        tasks = [asyncio.create_task(ask(number)) for number in range(12)]
        await asyncio.sleep(0)
        async with shares.slot("quiet"):
            waiting = not any(task.done() for task in tasks)
        let.set()
        await asyncio.gather(*tasks)
        return served, waiting

    served, waiting = asyncio.run(scene())

    assert waiting
    assert list(range(12)) == served


def test_what_is_too_much_is_refused() -> None:
    """Beyond what may wait the answer is to come back; a turn that was given back can be had again."""

    async def scene() -> None:
        shares = Shares(ShareLimits(max_running=1, max_waiting=1))
        async with shares.slot("a"):
            second = asyncio.create_task(_turn(shares, "a"))
            await asyncio.sleep(0)
            with pytest.raises(RateLimited):
                await _turn(shares, "a")
            await _turn(shares, "b")
        await second
        await _turn(shares, "a")

    asyncio.run(scene())


async def _turn(shares: Shares, whose: str) -> None:
    async with shares.slot(whose):
        return


def test_who_gives_up_gives_the_turn_back() -> None:
    """A request that is cancelled while it waits, or works, takes nothing with it."""

    async def scene() -> None:
        shares = Shares(ShareLimits(max_running=1, max_waiting=1))
        async with shares.slot("a"):
            waits = asyncio.create_task(_turn(shares, "a"))
            await asyncio.sleep(0)
            waits.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waits
        async with shares.slot("a"):
            pass
        assert {} == shares._queues

    asyncio.run(scene())


def test_large_bodies_share_the_room() -> None:
    """One may have its share, all together what there is; who waits gets room as soon as it is given back."""

    async def scene() -> None:
        shares = Shares(ShareLimits(max_bodies_size=30, max_bodies_size_per_key=20, timeout_s=0.01))
        await shares.reserve("a", 20)
        with pytest.raises(RateLimited):
            await shares.reserve("a", 1)
        await shares.reserve("b", 10)
        with pytest.raises(Unavailable):
            await shares.reserve("b", 10)
        shares.release("a", 20)
        await shares.reserve("b", 10)

        patient = Shares(ShareLimits(max_bodies_size=30, max_bodies_size_per_key=20, timeout_s=60))
        await patient.reserve("a", 20)
        waits = asyncio.create_task(patient.reserve("a", 20))
        await asyncio.sleep(0)
        patient.release("a", 20)
        await waits

    asyncio.run(scene())


def test_a_credential_counts_to_its_organization_once_it_was_good() -> None:
    """Before that, and while it is made up, to the address: nobody gets a share of his own by inventing one."""

    async def scene() -> None:
        shares = Shares()
        assert shares.key_of("lb_made-up", "192.0.2.1") == shares.key_of("lb_other", "192.0.2.1") == "192.0.2.1"
        shares.remember("lb_good", ("organization", 1))
        shares.remember("lb_also", ("organization", 1))
        assert shares.key_of("lb_good", "192.0.2.1") == shares.key_of("lb_also", "192.0.2.2") == ("organization", 1)
        assert shares.key_of(None, "2001:db8::1") == shares.key_of(None, "2001:db8::2")

    asyncio.run(scene())
