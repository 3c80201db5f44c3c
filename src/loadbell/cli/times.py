"""Moments that a person names on the command line: exactly, or by how far away they are."""

import time

import typer


def parse_future_time(text: str | None, option: str) -> str | None:
    """The RFC 3339 moment that ``text`` names: itself, or so long from now ("90d").

    Raises:
        typer.BadParameter: it is neither.
    """
    return _parse_time(text, option, 1)


def parse_past_time(text: str | None, option: str) -> str | None:
    """The RFC 3339 moment that ``text`` names: itself, or so long ago ("24h").

    Raises:
        typer.BadParameter: it is neither.
    """
    return _parse_time(text, option, -1)


def _parse_time(text: str | None, option: str, direction: int) -> str | None:
    from datetime import datetime  # noqa: PLC0415 - only when a moment is given

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
        raise typer.BadParameter("write 90d, 12h or a moment such as 2026-12-31T00:00:00Z", param_hint=option)
    return text
