"""Waiting for the end of a delivery, with no transaction or connection held meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loadbell.domain.ids import SECOND, Micros

T = TypeVar("T")

_MIN_INTERVAL_S = 0.02
_MAX_INTERVAL_S = 0.25


async def poll_until(is_done: Callable[[T], bool], read: Callable[[], Awaitable[T]], max_wait: Micros) -> T:
    """What ``read`` gives once ``is_done`` says so; what it gave last if that is later than ``max_wait``.

    So it is, too, when this process stops meanwhile: whoever waits gets what is known by then.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + max_wait / SECOND
    interval_s = _MIN_INTERVAL_S
    value = await read()
    while interval_s > 0:
        try:
            await asyncio.sleep(interval_s)
            value = await read()
        except asyncio.CancelledError:
            return value
        if is_done(value):
            return value
        interval_s = min(interval_s * 1.5, _MAX_INTERVAL_S, deadline - loop.time())
    return value
