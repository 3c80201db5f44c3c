"""
When to try again, as data: a schedule of waits, jitter, and the receiver's own wish.

No sleeping and no clock here: the answer is an instant.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from loadbell.domain.ids import SECOND, Micros, from_datetime

JITTER = 0.2
"""Each wait is stretched or shrunk by up to this share, so that failures that began together don't return together."""

MAX_RETRY_AFTER: Micros = 3600 * SECOND
"""A receiver's Retry-After beyond this is obeyed as this, then looked at again: it may be an instant sent as a span."""

_UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}

MAX_DURATION: Micros = 36_500 * 86_400 * SECOND
"""Added to the present, a longer one would soon be no instant that can be stored or written down."""


def parse_duration(text: str) -> Micros:
    """The span that ``text`` writes as number and unit: ``500ms``, ``5s``, ``2m``, ``10h``, ``7d``.

    Raises:
        ValueError: it is not of that form, or longer than a hundred years.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} isn't a duration such as 500ms, 5s, 2m, 10h or 7d")
    span = round(float(match[1]) * _UNITS[match[2]])
    if span > MAX_DURATION:
        raise ValueError(f"{text!r} is longer than 100 years")
    return span


@dataclass(frozen=True)
class RetrySchedule:
    """The waits between the attempts of one delivery: ``len(waits) + 1`` attempts in all."""

    waits: tuple[Micros, ...]

    @classmethod
    def parse(cls, text: str) -> "RetrySchedule":
        """The schedule that ``text`` writes as comma-separated durations: ``5s,30s,2m``.

        Raises:
            ValueError: a part is not a duration.
        """
        return cls(tuple(parse_duration(part) for part in text.split(",") if part.strip()))

    def wait(self, step: int, chance: float) -> Micros | None:
        """The wait after ``step`` scheduled waits were used up; None when the schedule is at its end.

        ``chance`` in [0, 1) decides the jitter: 0 gives 80 % of the wait, 1 would give 120 %.
        """
        if step >= len(self.waits):
            return None
        return round(self.waits[step] * (1 - JITTER + 2 * JITTER * chance))

    def wait_when_rate_limited(self, refusals: int, chance: float) -> Micros:
        """The wait after the ``refusals``-th rate-limited attempt in a row: the schedule's own, and a second at least.

        It never ends: beyond the schedule its last wait is doubled each time up to an hour, so that even a schedule of
        seconds makes few attempts in a week.
        """
        steps = max(len(self.waits), 1)
        wait = max(self.wait(min(refusals, steps) - 1, chance) or 0, SECOND)
        doublings = min(max(refusals - steps, 0), 12)  # 12 make an hour of a second
        return max(wait, min(wait << doublings, MAX_RETRY_AFTER))


def parse_retry_after(value: str, now: Micros) -> Micros | None:
    """The span that a ``Retry-After`` header asks for (RFC 9110 section 10.2.3), at most an hour.

    Takes seconds, fractions of seconds (some providers send them) and HTTP dates, the obsolete forms too; one without
    a zone is UTC. A date in the past is 0. Anything else is None: a header that we can't read asks for nothing.
    """
    text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return round(min(float(text), MAX_RETRY_AFTER / SECOND) * SECOND)
    try:
        moment: datetime = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return min(max(from_datetime(moment) - now, 0), MAX_RETRY_AFTER)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
