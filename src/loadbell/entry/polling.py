"""The wait for the result of a Test Hook, with no transaction or connection held meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from loadbell.domain.deliveries import ENDED, DeliveryStatus
from loadbell.domain.ids import SECOND, Micros

GRACE: Micros = 5 * SECOND
"""Extra time beyond the longest attempt: the delivery must be leased and recorded, too."""

_MIN_INTERVAL_S = 0.02
_MAX_INTERVAL_S = 0.25


class _Delivery(Protocol):
    @property
    def status(self) -> DeliveryStatus: ...


T = TypeVar("T", bound=_Delivery)


async def wait_for_test(read: Callable[[], Awaitable[T]], send_timeout: Micros) -> T:
    """Waits until the Test Hook's delivery from ``read`` has ended, at most ``GRACE`` after the timeout; returns it.

    If this process stops meanwhile, it returns the latest known state; another process makes the attempt.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (send_timeout + GRACE) / SECOND
    interval_s = _MIN_INTERVAL_S
    delivery = await read()
    while interval_s > 0:
        try:
            await asyncio.sleep(interval_s)
            delivery = await read()
        except asyncio.CancelledError:
            return delivery
        if delivery.status in ENDED:
            return delivery
        interval_s = min(interval_s * 1.5, _MAX_INTERVAL_S, deadline - loop.time())
    return delivery
