"""Turns: a fair share for each organization, an end to waiting, and a place that is free again when somebody leaves."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from loadbell.domain.errors import RateLimited
from loadbell.sources.fair_queue import FairQueue


class Gate:
    """Work that begins, and goes on until it is let go."""

    def __init__(self, begun: list[str], name: str) -> None:
        self._begun, self._name = begun, name
        self.opened = threading.Event()

    def __call__(self) -> str:
        """Does it."""
        self._begun.append(self._name)
        assert self.opened.wait(30)
        return self._name


async def until(true: Callable[[], bool]) -> None:
    """Waits for a fact."""
    while not true():  # noqa: ASYNC110 - a thread makes it true
        await asyncio.sleep(0.001)


def test_one_organization_never_has_all_turns() -> None:
    """Another one's work begins beside it, before what the first one had sent earlier; then they alternate."""

    async def run() -> None:
        begun: list[str] = []
        gates = {name: Gate(begun, name) for name in ("a1", "a2", "a3", "b1", "b2")}
        queue = FairQueue(2, max_waiting=100, timeout_s=30)
        tasks = {name: asyncio.create_task(queue.run(ord(name[0]), 1, gate)) for name, gate in gates.items()}
        await until(lambda: len(begun) == 2)
        assert {"a1", "b1"} == set(begun)
        gates["a1"].opened.set()
        await until(lambda: len(begun) == 3)
        assert "a2" == begun[-1]
        for gate in gates.values():
            gate.opened.set()
        assert list(gates) == await asyncio.gather(*tasks.values())

    asyncio.run(run())


def test_waiting_is_shared_among_many() -> None:
    """The last of three organizations waits for one push of each other, however many those have sent."""

    async def run() -> None:
        begun: list[str] = []
        names = ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "c1"]
        gates = {name: Gate(begun, name) for name in names}
        queue = FairQueue(2, max_waiting=100, timeout_s=30)
        tasks = [asyncio.create_task(queue.run(ord(name[0]), 1, gate)) for name, gate in gates.items()]
        await until(lambda: len(begun) == 2)
        for name in ("a1", "a2"):
            gates[name].opened.set()
        await until(lambda: len(begun) == 4)
        assert ["a2", "c1"] == begun[2:]
        for gate in gates.values():
            gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_who_leaves_frees_the_place() -> None:
    """Work that waited and was given up is never begun, and takes no room from what comes later."""

    async def run() -> None:
        begun: list[str] = []
        first, gate, last = (Gate(begun, name) for name in ("first", "left", "last"))
        queue = FairQueue(2, max_waiting=10, timeout_s=30)
        running = asyncio.create_task(queue.run(1, 5, first))
        waiting = asyncio.create_task(queue.run(1, 5, gate))
        await until(lambda: len(begun) == 1)
        with pytest.raises(RateLimited):
            await queue.run(1, 1, last)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        following = asyncio.create_task(queue.run(1, 5, last))
        first.opened.set()
        last.opened.set()
        assert ("first", "last") == (await running, await following)
        assert ["first", "last"] == begun

    asyncio.run(run())


def test_nobody_waits_for_ever() -> None:
    """After a while it is told to come again; work that takes too long keeps its turn until it ends."""

    async def run() -> None:
        begun: list[str] = []
        gate = Gate(begun, "first")
        queue = FairQueue(2, max_waiting=100, timeout_s=0.05)
        running = asyncio.create_task(queue.run(1, 0, gate))
        await until(lambda: len(begun) == 1)
        for work in (running, asyncio.create_task(queue.run(1, 0, gate))):
            with pytest.raises(RateLimited) as refused:
                await work
            assert 1_000_000 == refused.value.wait
        assert ["first"] == begun
        gate.opened.set()
        patient = FairQueue(2, max_waiting=1, timeout_s=30)
        assert "first" == await patient.run(1, 0, gate)

    asyncio.run(run())


def test_work_that_fails_gives_its_turn_back() -> None:
    """Its error comes out, and the next has a turn."""

    async def run() -> None:
        queue = FairQueue(2, max_waiting=1, timeout_s=30)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(1, 0, lambda: 1 // 0)

    asyncio.run(run())
