"""What a Test Hook is answered with."""

from http import HTTPStatus
from uuid import UUID

import msgspec
from litestar import Response

from loadbell.api.deliveries import read_delivery
from loadbell.domain.deliveries import ENDED
from loadbell.domain.ids import SECOND, Micros
from loadbell.entry.polling import poll_until
from loadbell.entry.requests import ApiRequest, json_response

GRACE: Micros = 5 * SECOND


async def wait_for_test(request: ApiRequest, started: msgspec.Raw) -> Response[bytes]:
    """200 with the delivery once it has ended, whatever the receiver said; 202 with it as it stands if that is late.

    So it is, too, when this process stops meanwhile: the delivery goes back, and the next process makes it.

    ``started``: the id of the delivery, as JSON.
    """
    delivery_id = msgspec.json.decode(started, type=UUID)

    max_wait = request.context.send_timeout + GRACE
    delivery = await poll_until(
        lambda delivery_with_attempts: delivery_with_attempts.status in ENDED,
        lambda: request.read(read_delivery, delivery_id),
        max_wait,
    )
    return json_response(HTTPStatus.OK if delivery.status in ENDED else HTTPStatus.ACCEPTED, delivery)
