"""The wait for the result of a Test Hook, with no transaction or connection held meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from loadbell.domain.deliveries import ENDED, DeliveryStatus
from loadbell.domain.ids import SECOND, Micros

GRACE: Micros = 5 * SECOND
"""How much longer than one attempt may take is waited for its delivery: it has to be leased and recorded, too."""

_MIN_INTERVAL_S = 0.02
_MAX_INTERVAL_S = 0.25


class _Delivery(Protocol):
    @property
    def status(self) -> DeliveryStatus: ...


T = TypeVar("T", bound=_Delivery)


async def wait_for_test(read: Callable[[], Awaitable[T]], send_timeout: Micros) -> T:
    """The delivery of a Test Hook as ``read`` gives it, once it has ended; else as it is ``GRACE`` after the timeout.

    When this process stops meanwhile, that is the latest known state; another process makes the attempt.
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
