"""Waiting for the end of a delivery, with no transaction or connection held meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loadbell.domain.ids import SECOND, Micros

T = TypeVar("T")

_FIRST_LOOK_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25


async def wait_until(ended: Callable[[T], bool], look: Callable[[], Awaitable[T]], patience: Micros) -> T:
    """What ``look`` gives once ``ended`` says so; what it gave last if that is later than ``patience``.

    So it is, too, when this process stops meanwhile: whoever waits gets what is known by then.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience / SECOND
    pause = _FIRST_LOOK_SECONDS
    seen = await look()
    while pause > 0:
        try:
            await asyncio.sleep(pause)
            seen = await look()
        except asyncio.CancelledError:
            return seen
        if ended(seen):
            return seen
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS, deadline - loop.time())
    return seen
