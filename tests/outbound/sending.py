"""What the tests of the sender share: a sender that lives for one scenario, and messages to send."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.messages import Message, NoReply, Reply
from loadbell.outbound.sender import Exchange, Resolver, Result, Sender, system_resolver
from loadbell.settings import Proxy
from loadbell.testing import ScriptedReceiver

T = TypeVar("T")

SECOND = 1_000_000

LOOPBACK = ("127.0.0.1/32", "127.0.0.2/32", "::1/128")
"""What the tests open: 127.0.0.1 and 127.0.0.2 stand for public addresses, 127.0.0.3 for one that is refused."""


def message(url: str, *headers: tuple[str, str], body: bytes = b"{}", method: str = "POST") -> Message:
    """A message as a channel would render it."""
    return Message(method, url, (("Content-Type", "application/json"), *headers), body)


def names(**places: str | list[str]) -> Resolver:
    """A resolver that knows these names: each the same address every time, or a list of all its addresses."""

    def resolve(host: str, _: int) -> list[str]:
        answer = places[host.partition(".")[0]]
        return [answer] if isinstance(answer, str) else answer

    return resolve


def scenario(  # noqa: PLR0913 - the sender's arguments
    play: Callable[[Sender], Awaitable[T]],
    *,
    allowed: tuple[str, ...] = LOOPBACK,
    resolver: Resolver = system_resolver,
    timeout: float = 5.0,
    ca_file: Path | None = None,
    proxy: Proxy | None = None,
    max_in_flight: int = 256,
) -> T:
    """What ``play`` gives with a sender of its own, that is closed afterwards."""

    async def main() -> T:
        sender = Sender(
            policy=AddressPolicy(tuple(ipaddress.ip_network(network) for network in allowed)),
            resolver=resolver,
            timeout=round(timeout * SECOND),
            ca_file=ca_file,
            proxy=proxy,
            max_in_flight=max_in_flight,
        )
        sender.start()
        try:
            return await play(sender)
        finally:
            await sender.close()

    return asyncio.run(main())


async def send_all(sender: Sender, exchanges: list[Exchange]) -> list[tuple[float, Result]]:
    """The results of ``exchanges`` handed over in one batch, each with the seconds that it took to come back."""
    results: list[tuple[float, Result]] = []
    complete = asyncio.Event()
    started = time.monotonic()

    def on_done(batch: list[Result]) -> None:
        results.extend((time.monotonic() - started, result) for result in batch)
        if len(results) == len(exchanges):
            complete.set()

    sender.submit(exchanges, on_done)
    await complete.wait()
    return results


def reply(result: Reply | NoReply) -> Reply:
    """The reply that a result must be."""
    assert isinstance(result, Reply), result
    return result


def no_reply(result: Reply | NoReply) -> NoReply:
    """The failure that a result must be."""
    assert isinstance(result, NoReply), result
    return result


@contextmanager
def alone_on_its_port(host: str, *others: str) -> Iterator[ScriptedReceiver]:
    """A receiver at ``host`` on a port where all the ``others`` refuse connections: nobody else can get it there."""
    while True:
        with ExitStack() as stack:
            receiver = stack.enter_context(ScriptedReceiver(host=host))
            try:
                for address in others:
                    taken = stack.enter_context(socket.socket())
                    taken.bind((address, receiver.port))  # and does not listen
            except OSError:
                continue  # somebody else has it there
            yield receiver
            return
