"""Templates into answers with the headers that every page has, and the files that pages link."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response, get
from litestar.datastructures import Cookie
from litestar.params import FromPath

from loadbell.channels import channel_types
from loadbell.domain.errors import NotFound
from loadbell.domain.ids import SECOND, Micros, to_datetime
from loadbell.domain.metrics import format_metric, format_number, is_known_metric, metric_label
from loadbell.domain.notices import describe_threshold
from loadbell.domain.orgs import Action, Principal
from loadbell.store.delivery_stats import MAX_HELD_COUNTED
from loadbell.store.unit_of_work import UnitOfWork

HEADERS = {
    "Cache-Control": "no-store",
    # Scripts and styles are files of ours, never inline; forms and live updates go to this server only; nobody shows a
    # page inside another.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # The address of a page can be a secret: an invitation, a password link. No other site learns it, and our own forms
    # say where they are from: with "no-referrer" browsers would send "Origin: null".
    "Referrer-Policy": "same-origin",
}
"""What every page says to the browser."""

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir()) if path.suffix in _TYPES}
VERSION = hashlib.sha256(b"".join(_FILES.values())).hexdigest()[:16]
"""Stands in the address of every static file, so that a browser may keep it until one of them has changed.

One for all, because the theme names the file that it is based on by a relative address.
"""

_MINUTE = 60
_THOUSAND = 1_000
_MANY = 10**15
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def _format_age(then: Micros, now: Micros) -> str:
    """How long before ``now`` it was, or how long it will take, as people say it."""
    seconds = abs(now - then) // SECOND
    name, length = next(((name, length) for name, length in _UNITS if seconds >= length), ("", 1))
    if not name:
        return "just now" if then <= now else "in a moment"
    count = seconds // length if then <= now else -(-seconds // length)
    span = f"{count} {name}{'' if count == 1 else 's'}"
    return f"{span} ago" if then <= now else f"in {span}"


def _format_datetime(then: Micros) -> str:
    """The exact instant, as people read it."""
    return to_datetime(then).strftime("%Y-%m-%d %H:%M:%S UTC")


def _format_time(then: Micros) -> str:
    """The time of day alone, where the day is clear."""
    return to_datetime(then).strftime("%H:%M:%S")


def _format_duration(length: Micros) -> str:
    """How long something took, as people say it: "142 ms", "12 s", "12 m 04 s", "8 h 00 m", "3 d 04 h"."""
    if length < SECOND:
        return f"{max(length, 0) // 1000} ms"
    seconds = length // SECOND
    if seconds < _MINUTE:
        return f"{seconds} s"
    for size, unit, part, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part:02} {name}"
    raise AssertionError("unreachable: a minute is the smallest size")


def _format_count(value: float) -> str:
    """A number as people read it: thousands apart, and no more digits than say something."""
    return f"{value:,.0f}" if abs(value) >= _THOUSAND and value < _MANY else format_number(value)


def _format_metric(name: str, value: float) -> str:
    """The value of a run's metric, with its unit where that is known."""
    return format_metric(name, value) if is_known_metric(name) else _format_count(value)


def _format_http_status(code: int) -> str:
    """A status code with its phrase, if it's a known one: "200 OK"."""
    phrase = next((known.phrase for known in HTTPStatus if known == code), "")
    return f"{code} {phrase}".rstrip()


def _format_iso(then: Micros) -> str:
    return to_datetime(then).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def _templates(root: str) -> Environment:
    """The templates of a server under the path ``root``: they write it before every path of ours."""
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.globals.update(root=root, static=f"{root}/static/{VERSION}", Action=Action, HELD_COUNTED=MAX_HELD_COUNTED)
    templates.globals["channel_types"] = channel_types()
    templates.globals.update(judged_by=describe_threshold, label_of=metric_label, measured=_format_metric)
    templates.filters.update(
        figure=_format_count,
        http_status=_format_http_status,
        ago=_format_age,
        clock=_format_time,
        iso=_format_iso,
        moment=_format_datetime,
        took=_format_duration,
    )
    return templates


def render(  # noqa: PLR0913 - what an answer consists of
    template: str,
    values: Mapping[str, Any],
    *,
    root: str,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[Cookie] = (),
) -> Response[str]:
    """The page that ``templates/pages/TEMPLATE.html`` makes of ``values``, on a server under the path ``root``."""
    text = _templates(root).get_template(f"pages/{template}.html").render(values)
    return Response(
        text,
        status_code=status,
        media_type="text/html",
        headers={**HEADERS, **(headers or {})},
        cookies=list(cookies),
    )


def render_part(unit: UnitOfWork[Principal], template: str, **values: Any) -> str:
    """What ``templates/partials/TEMPLATE.html`` makes of ``values``: a part of a page that changes while one looks."""
    part = _templates(unit.installation.root).get_template(f"partials/{template}.html")
    return part.render(values, principal=unit.principal, now=unit.now)


def redirect(target: str, cookies: Sequence[Cookie] = (), *, root: str) -> Response[str]:
    """Sends the browser to ``target``, a path of this server below ``root``."""
    return Response(
        "",
        status_code=HTTPStatus.SEE_OTHER,
        media_type="text/plain",
        headers={**HEADERS, "Location": root + target},
        cookies=list(cookies),
    )


@get("/static/{version:str}/{name:str}")
async def static_file(version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A file that pages link, kept for a year. An address of another version gives today's, which is not kept."""
    if name not in _FILES:
        raise NotFound("There is no such file.")
    text = "public, max-age=31536000, immutable" if version == VERSION else "no-store"
    return Response(_FILES[name], media_type=_TYPES[Path(name).suffix], headers={**HEADERS, "Cache-Control": text})
