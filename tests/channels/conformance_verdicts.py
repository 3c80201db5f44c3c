"""How each kind must judge answers: tables written by hand from what the providers document, not from our code."""

from collections.abc import Mapping
from dataclasses import dataclass

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import SECOND, Micros


@dataclass(frozen=True)
class Expected:
    """The part of an outcome that decides."""

    reason: Reason
    retry: bool = False
    pauses: bool = False
    retry_after: Micros | None = None


OK = Expected(Reason.OK)
REDIRECT = Expected(Reason.HTTP_3XX, retry=True)
REFUSED = Expected(Reason.HTTP_4XX, retry=True)
REFUSED_FOR_GOOD = Expected(Reason.HTTP_4XX, pauses=True)
GONE = Expected(Reason.GONE, pauses=True)
LIMITED = Expected(Reason.RATE_LIMITED, retry=True)
BROKEN = Expected(Reason.HTTP_5XX, retry=True)
OUR_FAULT = Expected(Reason.BAD_PAYLOAD)
NOT_SUCCESS = Expected(Reason.REJECTED, retry=True)

STATUSES: Mapping[ChannelKind, Mapping[range, Expected]] = {
    ChannelKind("webhook"): {
        range(200, 300): OK,
        range(300, 400): REDIRECT,
        range(400, 410): REFUSED,
        range(410, 411): GONE,
        range(411, 429): REFUSED,
        range(429, 430): LIMITED,
        range(430, 500): REFUSED,
        range(500, 600): BROKEN,
    },
    ChannelKind("slack"): {
        range(200, 300): NOT_SUCCESS,  # the body is empty, not "ok"
        range(300, 400): REDIRECT,
        range(400, 403): REFUSED,
        range(403, 404): REFUSED_FOR_GOOD,
        range(404, 405): GONE,
        range(405, 410): REFUSED,
        range(410, 411): GONE,
        range(411, 429): REFUSED,
        range(429, 430): LIMITED,
        range(430, 500): REFUSED,
        range(500, 600): BROKEN,
    },
    ChannelKind("hipchat"): {
        range(200, 300): OK,
        range(300, 400): REDIRECT,
        range(400, 401): OUR_FAULT,
        range(401, 402): REFUSED_FOR_GOOD,
        range(402, 403): REFUSED,
        range(403, 404): REFUSED_FOR_GOOD,
        range(404, 405): GONE,
        range(405, 410): REFUSED,
        range(410, 411): GONE,
        range(411, 429): REFUSED,
        range(429, 430): LIMITED,
        range(430, 500): REFUSED,
        range(500, 600): BROKEN,
    },
}
"""What every status from 200 to 599 means, without a body or a header that says more."""


@dataclass(frozen=True)
class Answer:
    """An answer that a provider documents, or that was seen of it."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def _hipchat(code: int, kind: str, message: str) -> str:
    return f'{{"error": {{"code": {code}, "type": "{kind}", "message": "{message}"}}}}'


WAIT_30 = (("Retry-After", "30"),)

ANSWERS: Mapping[ChannelKind, tuple[tuple[Answer, Expected], ...]] = {
    ChannelKind("webhook"): (
        (Answer(200, "ok"), OK),
        (Answer(200, "", (("webhook-delivery", "disable"),)), GONE),
        (Answer(500, "", (("Webhook-Delivery", "disable"),)), GONE),
        (Answer(200, "", (("webhook-delivery", "abort-message"),)), OK),
        (Answer(500, "", (("webhook-delivery", "abort-message"),)), Expected(Reason.HTTP_5XX)),
        (Answer(404, "", (("Webhook-Delivery", "Abort-Message"),)), Expected(Reason.HTTP_4XX)),
        (Answer(429, "", (("webhook-delivery", "abort-message"),)), Expected(Reason.HTTP_4XX)),
        (Answer(429, "", WAIT_30), Expected(Reason.RATE_LIMITED, retry=True, retry_after=30 * SECOND)),
        (Answer(503, "", WAIT_30), Expected(Reason.HTTP_5XX, retry=True, retry_after=30 * SECOND)),
    ),
    ChannelKind("slack"): (
        (Answer(200, "ok"), OK),
        (Answer(200, " ok\n"), OK),
        (Answer(200, '{"ok":true}'), OK),
        (Answer(200, '{"success":true}'), OK),
        (Answer(200, '{"ok":false,"error":"no_service"}'), NOT_SUCCESS),
        (Answer(200, '{"ok":"true"}'), NOT_SUCCESS),
        (Answer(200, '{"success":false}'), NOT_SUCCESS),
        (Answer(200, "<html>Sign in</html>"), NOT_SUCCESS),
        (Answer(200, "OK"), NOT_SUCCESS),
        (Answer(202, "ok"), NOT_SUCCESS),
        (Answer(400, "invalid_payload"), OUR_FAULT),
        (Answer(400, "invalid_blocks"), OUR_FAULT),
        (Answer(400, '{"ok":false,"error":"invalid_blocks"}'), OUR_FAULT),
        (Answer(400, "invalid_attachments"), OUR_FAULT),
        (Answer(400, "invalid_blocks_format"), OUR_FAULT),
        (Answer(400, "no_text"), OUR_FAULT),
        (Answer(400, "missing_text_or_fallback_or_attachments"), OUR_FAULT),
        (Answer(400, "too_many_attachments"), OUR_FAULT),
        (Answer(400, "msg_blocks_too_long"), OUR_FAULT),
        (Answer(400, "msg_too_long"), OUR_FAULT),
        (Answer(400, "invalid_token"), REFUSED_FOR_GOOD),
        (Answer(400, "user_not_found"), REFUSED),
        (Answer(400, "something_new"), REFUSED),
        (Answer(403, "action_prohibited"), REFUSED_FOR_GOOD),
        (Answer(403, "posting_to_general_channel_denied"), REFUSED_FOR_GOOD),
        (Answer(403, "invalid_token"), REFUSED_FOR_GOOD),
        (Answer(404, "channel_not_found"), GONE),
        (Answer(404, "no_service"), GONE),
        (Answer(404, "no_team"), GONE),
        (Answer(410, "channel_is_archived"), GONE),
        (Answer(500, "rollup_error"), BROKEN),
        (Answer(503, "", WAIT_30), Expected(Reason.HTTP_5XX, retry=True, retry_after=30 * SECOND)),
        (
            Answer(429, '{"ok":false,"error":"rate_limited","retry_after":1}', WAIT_30),
            Expected(Reason.RATE_LIMITED, retry=True, retry_after=30 * SECOND),
        ),
        (
            Answer(429, '{"ok":false,"error":"rate_limited","retry_after":2}'),
            Expected(Reason.RATE_LIMITED, retry=True, retry_after=2 * SECOND),
        ),
        (Answer(429, '{"ok":false,"error":"rate_limited","retry_after":"soon"}'), LIMITED),
        (Answer(429, "slow down"), LIMITED),
    ),
    ChannelKind("hipchat"): (
        (Answer(204), OK),
        (Answer(400, _hipchat(400, "Bad Request", "Field 'message' is required")), OUR_FAULT),
        (Answer(401, _hipchat(401, "Unauthorized", "Invalid OAuth session")), REFUSED_FOR_GOOD),
        (Answer(403, _hipchat(403, "Forbidden", "This token has not the scope send_notification")), REFUSED_FOR_GOOD),
        (Answer(404, _hipchat(404, "Not Found", "Room not found")), GONE),
        (
            Answer(429, _hipchat(429, "Too Many Requests", "Rate limit exceeded"), WAIT_30),
            Expected(Reason.RATE_LIMITED, retry=True, retry_after=30 * SECOND),
        ),
        (
            Answer(429, "", (("X-Ratelimit-Remaining", "0"), ("X-Ratelimit-Reset", "1795000060"))),
            Expected(Reason.RATE_LIMITED, retry=True, retry_after=60 * SECOND),
        ),
        (
            Answer(429, "", (("X-FloodControl-Remaining", "0"), ("X-FloodControl-Reset", "1795000020"))),
            Expected(Reason.RATE_LIMITED, retry=True, retry_after=20 * SECOND),
        ),
        (
            Answer(204, "", (("X-FloodControl-Remaining", "0"), ("X-FloodControl-Reset", "1795000020"))),
            Expected(Reason.OK, retry_after=20 * SECOND),
        ),
        (Answer(204, "", (("X-FloodControl-Remaining", "29"), ("X-FloodControl-Reset", "1795000020"))), OK),
        (Answer(503, "", WAIT_30), Expected(Reason.HTTP_5XX, retry=True, retry_after=30 * SECOND)),
    ),
}
"""The answers that each provider gives, at the instant ``conformance.NOW`` (1795000000 s)."""
