"""When to try again: a schedule of waits, jitter, and the receiver's Retry-After. No sleeping and no clock here."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from loadbell.domain.ids import SECOND, Micros, from_datetime

JITTER = 0.2
"""Each wait varies by up to this share, so that simultaneous failures don't retry simultaneously."""

MAX_RETRY_AFTER: Micros = 3600 * SECOND
"""A longer Retry-After counts as this, then the receiver is tried again: it may be an instant sent as a span."""

_UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}

MAX_DURATION: Micros = 36_500 * 86_400 * SECOND
"""The longest duration: later instants could not be stored or formatted."""


def parse_duration(text: str) -> Micros:
    """Parses a number with a unit: ``500ms``, ``5s``, ``2m``, ``10h``, ``7d``.

    Raises:
        ValueError: it isn't of that form, or is longer than 100 years.
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
        """Parses comma-separated durations: ``5s,30s,2m``.

        Raises:
            ValueError: a part is not a duration.
        """
        return cls(tuple(parse_duration(part) for part in text.split(",") if part.strip()))

    def wait(self, step: int, chance: float) -> Micros | None:
        """The wait after ``step`` waits were used; None at the end of the schedule.

        ``chance`` in [0, 1) decides the jitter: from 80 % of the wait (0) to below 120 %.
        """
        if step >= len(self.waits):
            return None
        return round(self.waits[step] * (1 - JITTER + 2 * JITTER * chance))

    def wait_when_rate_limited(self, refusals: int, chance: float) -> Micros:
        """The wait after the ``refusals``-th rate-limited attempt in a row: the schedule's own, at least a second.

        Beyond the schedule, its last wait is doubled each time up to an hour, so that even a schedule of seconds makes
        few attempts in a week.
        """
        steps = max(len(self.waits), 1)
        wait = max(self.wait(min(refusals, steps) - 1, chance) or 0, SECOND)
        doublings = min(max(refusals - steps, 0), 12)  # 12 turn a second into an hour
        return max(wait, min(wait << doublings, MAX_RETRY_AFTER))


def parse_retry_after(value: str, now: Micros) -> Micros | None:
    """The span that a ``Retry-After`` header asks for (RFC 9110 section 10.2.3), at most an hour.

    Accepts seconds, fractions of seconds (some providers send them) and HTTP dates, also in the obsolete forms; without
    a zone they are UTC. A date in the past is 0. Returns None for anything else.
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
