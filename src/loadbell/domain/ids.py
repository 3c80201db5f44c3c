"""
Identifiers and instants.

What people configure and report has integers (the legacy payload requires them); events and deliveries have UUIDs.
The UUIDs are version 7 (RFC 9562), ordered by the microsecond of their creation, so "newest first" needs no second key
and new rows go to the end of the index.

Instants are integers, exact in both databases: microseconds since 1970-01-01T00:00:00Z, written ``Micros``.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

Micros = int
"""An instant (microseconds since the epoch, UTC) or a span (microseconds), as the name of the value says."""

Clock = Callable[[], Micros]
"""Returns the current time. Passed in everywhere, so that tests control time."""

Entropy = Callable[[int], bytes]
"""Returns the given number of random bytes. Passed in everywhere, so that tests control randomness."""

SECOND: Micros = 1_000_000

MAX_ID = 2**63 - 1
"""The largest integer id that both databases can hold; a larger one in a path is not found."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def new_uuid(now: Micros, entropy: Entropy) -> UUID:
    """A version 7 UUID for the instant ``now``: 48 bits of milliseconds, 12 of their fraction, 62 random bits.

    The fraction (RFC 9562 section 6.2, method 3) keeps the order within one millisecond.
    """
    milliseconds, microseconds = divmod(now, 1000)
    random = int.from_bytes(entropy(8), "big") & (2**62 - 1)
    return UUID(
        int=(milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | microseconds * 4096 // 1000 << 64 | 0x2 << 62 | random
    )


def first_uuid(instant: Micros) -> UUID:
    """The smallest UUID that :func:`new_uuid` can return for ``instant``, of 1970 or later."""
    return new_uuid(instant, bytes)


def parse_uuid(text: str) -> UUID | None:
    """Parses a UUID in its canonical form, in either case; None for anything else."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def to_datetime(instant: Micros) -> datetime:
    """``instant`` as an aware datetime in UTC."""
    return _EPOCH + instant * _MICROSECOND


def from_datetime(moment: datetime) -> Micros:
    """The instant of an aware datetime.

    Raises:
        ValueError: ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone names no instant")
    return (moment - _EPOCH) // _MICROSECOND


def rfc3339(instant: Micros) -> str:
    """``instant`` as RFC 3339 in UTC with milliseconds: ``2026-11-23T04:05:06.789Z``."""
    return to_datetime(instant).isoformat(timespec="milliseconds").replace("+00:00", "Z")
