"""
What of a delivery is seen by whom: whoever may not read the log sees status and reason, and nothing of the exchange.

What was sent and what came back is the business of owner and admins, and of them alone: a receiver's answer may hold
its secrets, and a message may quote it. Both are taken out here, where deliveries leave the use cases.
"""

from collections.abc import Iterable
from dataclasses import replace

from loadbell.domain.deliveries import Attempt, Delivery, Exchange, Reason
from loadbell.domain.orgs import Action, Principal

SENTENCES: dict[Reason, str] = {
    Reason.OK: "The receiver took it.",
    Reason.TIMEOUT: "The receiver did not answer in time.",
    Reason.CONNECT: "The receiver could not be connected.",
    Reason.DNS: "The receiver's host name could not be looked up.",
    Reason.TLS: "The TLS handshake with the receiver failed.",
    Reason.PROTOCOL: "The receiver's answer was malformed or cut off.",
    Reason.HTTP_3XX: "The receiver answered with a redirect, and redirects are not followed.",
    Reason.HTTP_4XX: "The receiver refused it.",
    Reason.HTTP_5XX: "The receiver failed.",
    Reason.RATE_LIMITED: "The receiver got too many messages. loadbell waits and goes on by itself.",
    Reason.GONE: "The receiver wants no more messages.",
    Reason.REJECTED: "The receiver answered, but did not take the message.",
    Reason.BLOCKED_ADDRESS: "The receiver's address is not one that loadbell may connect to.",
    Reason.BAD_SETTINGS: "The channel's settings can't be used.",
    Reason.BAD_PAYLOAD: "The receiver can't read the message.",
    Reason.EXPIRED: "It was held for too long.",
    Reason.INTERNAL: "loadbell failed or was stopped in the middle.",
}
"""What each reason means, without a word of the receiver's."""


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
