"""Times on the command line: exact, or relative to now."""

import time

import typer


def parse_future_time(text: str | None, option: str) -> str | None:
    """The RFC 3339 time that ``text`` gives: exact, or relative to now ("90d" is in 90 days).

    Raises:
        typer.BadParameter: it is neither.
    """
    return _parse_time(text, option, 1)


def parse_past_time(text: str | None, option: str) -> str | None:
    """The RFC 3339 time that ``text`` gives: exact, or relative to now ("24h" is 24 hours ago).

    Raises:
        typer.BadParameter: it is neither.
    """
    return _parse_time(text, option, -1)


def _parse_time(text: str | None, option: str, direction: int) -> str | None:
    from datetime import datetime  # noqa: PLC0415 - only when a time is given

    from loadbell.domain.ids import rfc3339  # noqa: PLC0415 - as above
    from loadbell.domain.retry import parse_duration  # noqa: PLC0415 - as above

    if text is None:
        return None
    now = time.time_ns() // 1000
    try:
        return rfc3339(now + direction * parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        named = None
    if named is None or named.tzinfo is None:
        raise typer.BadParameter(
            "use a duration such as 90d or 12h, or a time such as 2026-12-31T00:00:00Z", param_hint=option
        )
    return text
