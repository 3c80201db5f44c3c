"""Waiting for the end of a Test Hook, with no transaction or connection held meanwhile."""

import asyncio
from http import HTTPStatus
from uuid import UUID

import msgspec
from litestar import Response

from loadbell.api import answers
from loadbell.domain.deliveries import ENDED
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Principal
from loadbell.entry.door import Call, answer
from loadbell.notify import actions
from loadbell.store.db import Transaction

PATIENCE_BEYOND_SENDING: Micros = 5 * SECOND
_FIRST_LOOK_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25


async def answer_of_test(call: Call, started: msgspec.Raw) -> Response[bytes]:
    """200 with the delivery once it has ended, whatever the receiver said; 202 with it as it stands if that is late.

    So it is, too, when this process stops meanwhile: the delivery goes back, and the next process makes it.

    ``started``: the id of the delivery, as JSON.
    """
    delivery_id = msgspec.json.decode(started, type=UUID)

    async def work(tx: Transaction, principal: Principal, _now: Micros) -> answers.DeliveryWithAttempts:
        delivery, attempts = await actions.get_delivery(tx, principal, delivery_id)
        return answers.delivery_with_attempts(delivery, attempts, principal)

    loop = asyncio.get_running_loop()
    deadline = loop.time() + (call.door.send_timeout + PATIENCE_BEYOND_SENDING) / SECOND
    pause = _FIRST_LOOK_SECONDS
    delivery = await call.read(work)
    while True:
        try:
            await asyncio.sleep(pause)
            delivery = await call.read(work)
        except asyncio.CancelledError:
            return answer(HTTPStatus.ACCEPTED, delivery)
        if delivery.status in ENDED:
            return answer(HTTPStatus.OK, delivery)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS, deadline - loop.time())
        if pause <= 0:
            return answer(HTTPStatus.ACCEPTED, delivery)
