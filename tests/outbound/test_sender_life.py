"""The sender with many exchanges at a time, over its life: queues, deadlines, batches, faults, its end."""

import asyncio
import os
import resource
import threading
from functools import partial

import pycurl
import pytest

from loadbell.domain.deliveries import Reason
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.failures import INTERNAL
from loadbell.outbound.messages import Message, NoReply, Reply
from loadbell.outbound.sender import Exchange, Result, Sender
from loadbell.testing import ScriptedReceiver, drip, hang, raw, respond
from tests.outbound.sending import SECOND, message, names, no_reply, reply, scenario, send_all


def test_connections_are_kept() -> None:
    """Exchanges with one receiver, one after the other, share a connection."""

    async def play(sender: Sender) -> None:
        for _ in range(5):
            reply(await sender.send(message(receiver.url)))

    with ScriptedReceiver() as receiver:
        scenario(play)

        assert (1, 5) == (receiver.connects, len(receiver.requests))


def test_a_kept_connection_that_the_receiver_closed_harms_nothing() -> None:
    """When the receiver has closed a kept connection the next message goes out on a new one."""

    async def play(sender: Sender) -> list[int]:
        statuses = []
        for _ in range(3):
            statuses.append(reply(await sender.send(message(receiver.url))).status)
            await asyncio.sleep(0.02)
        return statuses

    with ScriptedReceiver([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]) as receiver:
        assert [200, 200, 200] == scenario(play)
        assert 3 == receiver.connects


def test_one_hanging_receiver_delays_no_other() -> None:
    """While one receiver hangs, the answers of 99 others come, long before its deadline."""

    async def play(sender: Sender) -> list[tuple[float, Result]]:
        stuck = asyncio.create_task(sender.send(message(dead.url)))
        await asyncio.to_thread(dead.wait_for, 1)
        results = await send_all(sender, [Exchange(n, message(fast.url)) for n in range(99)])
        assert not stuck.done()
        stuck.cancel()
        return results

    with ScriptedReceiver([hang()]) as dead, ScriptedReceiver() as fast:
        results = scenario(play, timeout=60.0)

    assert [200] * 99 == [reply(result).status for _, (_, result) in results]


def test_a_dripping_receiver_frees_its_place_at_the_deadline() -> None:
    """A body that comes byte by byte ends with the exchange's deadline, and the next exchange begins."""

    async def play(sender: Sender) -> list[tuple[float, Result]]:
        return await send_all(sender, [Exchange(1, message(slow.url)), Exchange(2, message(fast.url))])

    with ScriptedReceiver([drip(interval=0.02)]) as slow, ScriptedReceiver() as fast:
        (first_took, first), (_, second) = scenario(play, timeout=1.0, max_in_flight=1)

    assert Reason.TIMEOUT is no_reply(first[1]).reason
    assert 200 == reply(second[1]).status
    assert 0.99 <= first_took < 10.0  # libcurl counts in whole milliseconds


def test_beyond_the_cap_exchanges_wait_in_order_and_their_deadline_with_them() -> None:
    """At most ``max_in_flight`` are under way; the deadline of a waiting exchange begins when the exchange does."""

    async def play(sender: Sender) -> list[tuple[float, Result]]:
        return await send_all(sender, [Exchange(n, message(receiver.url, body=b"%d" % n)) for n in range(6)])

    with ScriptedReceiver([respond(delay=0.4)]) as receiver:
        results = scenario(play, timeout=2.0, max_in_flight=1)

        assert [b"0", b"1", b"2", b"3", b"4", b"5"] == [request.body for request in receiver.requests]
    assert [200] * 6 == [reply(result).status for _, (_, result) in results]
    assert results[-1][0] > 2.0


def test_two_hundred_exchanges_run_side_by_side() -> None:
    """A receiver that answers nobody until two hundred have asked gets two hundred requests at a time."""
    asked: list[None] = []
    all_have = asyncio.Event()

    async def together(writer: asyncio.StreamWriter) -> bool:
        asked.append(None)
        if len(asked) == 200:
            all_have.set()
        await all_have.wait()
        return await respond()(writer)

    async def play(sender: Sender) -> list[tuple[float, Result]]:
        return await send_all(sender, [Exchange(n, message(receiver.url)) for n in range(200)])

    with ScriptedReceiver([together]) as receiver:
        results = scenario(play, timeout=60.0)

        assert 200 == receiver.connects
    assert [200] * 200 == [reply(result).status for _, (_, result) in results]


def test_descriptors_beyond_1023_are_no_obstacle() -> None:
    """The sender works in a process that has more than 1,024 files open, where ``select()`` would fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if hard > 0 else 4096, hard))
    copies = [os.dup(0) for _ in range(1200)]
    try:
        with ScriptedReceiver() as receiver:
            assert 200 == reply(scenario(lambda sender: sender.send(message(receiver.url)))).status
    finally:
        for copy in copies:
            os.close(copy)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_results_come_in_batches_to_each_caller_in_the_loop() -> None:
    """Each caller gets its own exchanges back, each once, in the loop's thread, many at a time."""
    calls: list[tuple[str, threading.Thread, list[Result]]] = []

    async def play(sender: Sender) -> None:
        complete = asyncio.Event()

        def take(caller: str, results: list[Result]) -> None:
            calls.append((caller, threading.current_thread(), results))
            if sum(len(results) for _, _, results in calls) == 200:
                complete.set()

        for caller in ("a", "b"):
            exchanges = [Exchange((caller, n), message(receiver.url)) for n in range(100)]
            sender.submit(exchanges, partial(take, caller))
        await complete.wait()

    with ScriptedReceiver() as receiver:
        scenario(play)

    for caller in ("a", "b"):
        keys = [exchange.key for name, _, results in calls if name == caller for exchange, _ in results]
        assert [(caller, n) for n in range(100)] == sorted(keys)  # type: ignore[type-var]  # all keys are such pairs
    assert {threading.main_thread()} == {thread for _, thread, _ in calls}
    assert len(calls) < 200


def test_a_caller_that_raises_keeps_nobody_from_their_results() -> None:
    """An error in one caller's ``on_done`` is logged; others are served, then and later."""
    failed = asyncio.Event()

    def fail(_: list[Result]) -> None:
        failed.set()
        raise RuntimeError("the caller's own fault")

    async def play(sender: Sender) -> int:
        sender.submit([Exchange(1, message(receiver.url))], fail)
        await failed.wait()
        return reply(await sender.send(message(receiver.url))).status

    with ScriptedReceiver() as receiver:
        assert 200 == scenario(play)


def test_an_exchange_that_breaks_the_sender_ends_alone() -> None:
    """An unexpected error is that exchange's ``internal``; its neighbours go through."""
    broken = Message("POST", "http://127.0.0.1/", (), object())  # type: ignore[arg-type]  # that is the fault

    async def play(sender: Sender) -> list[tuple[float, Result]]:
        return await send_all(sender, [Exchange(1, broken), Exchange(2, message(receiver.url))])

    with ScriptedReceiver() as receiver:
        by_key = {exchange.key: result for _, (exchange, result) in scenario(play)}

    assert Reason.INTERNAL is no_reply(by_key[1]).reason
    assert 200 == reply(by_key[2]).status


def test_the_thread_survives_a_fault_of_libcurl_itself() -> None:
    """When a whole turn fails, what was under way ends as ``internal`` and the next exchange goes through."""

    async def play(sender: Sender) -> tuple[NoReply, Reply]:
        pending = asyncio.create_task(sender.send(message(dead.url)))
        await asyncio.to_thread(dead.wait_for, 1)
        assert sender._engine is not None
        while True:  # libcurl refuses in the moment in which the thread is inside of it
            try:
                sender._engine._multi.close()
                break
            except pycurl.error:
                await asyncio.sleep(0.001)
        sender._engine._epoll.wake()
        return no_reply(await pending), reply(await sender.send(message(fast.url)))

    with ScriptedReceiver([hang()]) as dead, ScriptedReceiver() as fast:
        failed, sound = scenario(play)

    assert (Reason.INTERNAL, INTERNAL, 200) == (failed.reason, failed.message, sound.status)


def test_closing_aborts_what_is_in_flight_and_leaves_no_thread() -> None:
    """After ``close`` no result comes, a waiting ``send`` is cancelled, and all threads are gone."""
    before = set(threading.enumerate())
    results: list[Result] = []

    async def play(sender: Sender) -> None:
        waiting = asyncio.create_task(sender.send(message(receiver.url)))
        text = receiver.url.replace("127.0.0.1", "good.example")
        sender.submit([Exchange(1, message(receiver.url)), Exchange(2, message(text))], results.extend)
        await asyncio.to_thread(receiver.wait_for, 3)
        await sender.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RuntimeError):
            sender.submit([], results.extend)
        await asyncio.sleep(0.05)

    with ScriptedReceiver([hang()]) as receiver:
        inside = set(threading.enumerate())
        scenario(play, resolver=names(good="127.0.0.1"), timeout=60.0)

        assert inside == set(threading.enumerate())
    assert before == set(threading.enumerate())
    assert [] == results


def test_a_sender_that_was_not_started_says_so() -> None:
    """Submitting before ``start`` is an error, not a message that is lost."""

    async def main() -> None:
        sender = Sender(policy=AddressPolicy(), timeout=SECOND)
        with pytest.raises(RuntimeError, match="not running"):
            sender.submit([], lambda _: None)
        await sender.close()

    asyncio.run(main())
