"""What a response means where the provider doesn't define it."""

from http import HTTPStatus

from loadbell.domain.deliveries import Outcome, Reason
from loadbell.domain.ids import Micros
from loadbell.domain.retry import parse_retry_after
from loadbell.outbound.messages import Reply

OUR_FAULT = "This is a bug in loadbell. Please report it with the log entry of this attempt."
"""What to do when a provider calls our message invalid."""


def describe_reply(reply: Reply) -> str:
    """The beginning of a sentence: "The receiver answered 404 Not Found"."""
    phrase = next((known.phrase for known in HTTPStatus if known == reply.status), None)
    return f"The receiver answered {reply.status} {phrase}" if phrase else f"The receiver answered {reply.status}"


def judge_temporary(reply: Reply, now: Micros) -> Outcome:
    """The outcome of a response other than 2xx: retry, not before its ``Retry-After``."""
    if reply.status < HTTPStatus.BAD_REQUEST:
        advice = "loadbell doesn't follow redirects. Enter the final URL in the channel's settings."
        return Outcome(Reason.HTTP_3XX, f"{describe_reply(reply)}. {advice}", retry=True)
    retry_after = parse_retry_after(reply.header("Retry-After") or "", now)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        reason = Reason.RATE_LIMITED
    else:
        reason = Reason.HTTP_4XX if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR else Reason.HTTP_5XX
    return Outcome(reason, f"{describe_reply(reply)}.", retry=True, retry_after=retry_after)
