"""
Reduces deliveries to what a user may see: without permission for the log only status and reason.

Only owner and admins may see requests and responses: a response may contain the receiver's secrets, and a message may
quote it. Both are removed here, where deliveries leave the use cases.
"""

from collections.abc import Iterable
from dataclasses import replace

from loadbell.domain.deliveries import Attempt, Delivery, Exchange, Reason
from loadbell.domain.orgs import Action, Principal

SENTENCES: dict[Reason, str] = {
    Reason.OK: "Delivered.",
    Reason.TIMEOUT: "The receiver didn't respond in time.",
    Reason.CONNECT: "loadbell couldn't connect to the receiver.",
    Reason.DNS: "The receiver's host name couldn't be resolved.",
    Reason.TLS: "The TLS handshake with the receiver failed.",
    Reason.PROTOCOL: "The receiver's response was malformed or cut off.",
    Reason.HTTP_3XX: "The receiver responded with a redirect. loadbell doesn't follow redirects.",
    Reason.HTTP_4XX: "The receiver refused the request.",
    Reason.HTTP_5XX: "The receiver failed.",
    Reason.RATE_LIMITED: "The receiver is rate limiting. loadbell waits and retries automatically.",
    Reason.GONE: "This webhook no longer exists.",
    Reason.REJECTED: "The receiver responded but didn't accept the message.",
    Reason.BLOCKED_ADDRESS: "loadbell isn't allowed to connect to the receiver's address.",
    Reason.BAD_SETTINGS: "The channel's settings can't be used.",
    Reason.BAD_PAYLOAD: "The receiver rejected the message as invalid.",
    Reason.EXPIRED: "It waited too long and expired.",
    Reason.INTERNAL: "loadbell failed or was stopped during the attempt.",
}
"""The meaning of each reason, without text from the receiver."""


def seen_deliveries(principal: Principal, deliveries: Iterable[Delivery]) -> list[Delivery]:
    """The deliveries as ``principal`` may see them."""
    if principal.may(Action.READ_LOG):
        return list(deliveries)
    return [
        delivery if delivery.reason is None else replace(delivery, message=SENTENCES[delivery.reason])
        for delivery in deliveries
    ]


def seen_attempts(principal: Principal, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts as ``principal`` may see them."""
    if principal.may(Action.READ_LOG):
        return list(attempts)
    return [
        replace(attempt, message=SENTENCES[attempt.reason], exchange=_without_bodies(attempt.exchange))
        for attempt in attempts
    ]


def _without_bodies(exchange: Exchange | None) -> Exchange | None:
    if exchange is None:
        return None
    return Exchange(exchange.method, url="", request_headers=(), request_body="", status_code=exchange.status_code)
