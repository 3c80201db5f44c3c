"""What an answer means where a provider gives it no meaning of its own."""

from http import HTTPStatus

from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.ids import Micros
from loadbell.domain.retry import parse_retry_after
from loadbell.outbound.messages import Reply

OUR_FAULT = "This is a fault of loadbell: please report it, with what the log shows of this attempt."
"""What to do when a provider calls our message invalid."""


def describe_reply(reply: Reply) -> str:
    """The beginning of a sentence: "The receiver answered 404 Not Found"."""
    phrase = next((known.phrase for known in HTTPStatus if known == reply.status), None)
    return f"The receiver answered {reply.status} {phrase}" if phrase else f"The receiver answered {reply.status}"


def judge_temporary(reply: Reply, now: Micros) -> Outcome:
    """An answer other than 2xx that is worth another attempt, no sooner than its ``Retry-After`` asks."""
    if reply.status < HTTPStatus.BAD_REQUEST:
        advice = "Redirects are not followed; enter the final URL in the channel's settings."
        return Outcome(Reason.HTTP_3XX, f"{describe_reply(reply)}. {advice}", retry=True)
    retry_after = parse_retry_after(reply.header("Retry-After") or "", now)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        reason = Reason.RATE_LIMITED
    else:
        reason = Reason.HTTP_4XX if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR else Reason.HTTP_5XX
    return Outcome(reason, f"{describe_reply(reply)}.", retry=True, retry_after=retry_after)
