"""Everything that reads bytes from outside, by name: what is fed to it, and which exceptions it may raise."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import cramjam
from cryptography.fernet import Fernet

from loadbell.accounts.credentials import hash_credential
from loadbell.api.audit import AuditQuery, ExportQuery
from loadbell.api.bodies import LogQuery, NewRunBody, RunsQuery
from loadbell.channels import channel_types
from loadbell.channels.wording import readable
from loadbell.domain.emails import is_email
from loadbell.domain.errors import Refused
from loadbell.domain.measurements import TooMuchWork, condense
from loadbell.domain.retry import parse_retry_after
from loadbell.domain.thresholds import parse_expression, parse_selection
from loadbell.entry.bodies import decode_body
from loadbell.entry.fields import convert_fields
from loadbell.entry.hosts import Hosts
from loadbell.entry.paging import PageQuery
from loadbell.entry.parameters import read_cookies, read_query
from loadbell.entry.path_ids import parse_integer_id, parse_uuid_id
from loadbell.entry.paths import strip_root
from loadbell.outbound.messages import Reply
from loadbell.outbound.urls import BadUrl, parse_url
from loadbell.sources import k6_create, k6_points
from loadbell.sources.k6_cloud_v1 import _strip_prefix, _tool
from loadbell.store.engine.secrets import SecretBox
from loadbell.web import channel_forms, members, organizations, projects, tokens
from loadbell.web.csrf import derive_token, is_visitor_secret
from loadbell.web.datetimes import parse_datetime
from loadbell.web.form import Form, read_form
from loadbell.web.page import _LOCAL, ORGANIZATION, SESSION, THEME, VISITOR

NOW = 1_800_000_000_000_000
Read = Callable[[bytes], object]
Reader = tuple[Read, tuple[type[Exception], ...]]
"""What reads, and by which exceptions it refuses."""


def _text(read: Callable[[str], object]) -> Read:
    return lambda raw: read(raw.decode("latin-1"))


def _judge(channel: Any) -> Read:
    def judge(raw: bytes) -> object:
        text = raw.decode("latin-1")
        headers = tuple(
            (name, text) for name in ("Retry-After", "Content-Type", "webhook-delivery", "X-RateLimit-Reset")
        )
        replies = (Reply(status, headers, raw, truncated=False, duration=1) for status in (200, 400, 404, 429, 500))
        return [channel.judge(reply, NOW) for reply in replies]

    return judge


def _form(content_type: str) -> Read:
    async def chunks(raw: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(raw) + 1, 8_192):
            yield raw[start : start + 8_192]

    return lambda raw: asyncio.run(k6_create.parse_form(chunks(raw), content_type))


def _archive(raw: bytes) -> object:
    return k6_create._read_thresholds(raw)


def _protobuf(raw: bytes) -> object:
    points, period = k6_points.read_protobuf(bytes(cramjam.snappy.compress_raw(raw)))
    return condense(points, ("m{a:1}",), period=period)


def _query(wanted: Any) -> Read:
    def read(raw: bytes) -> object:
        text = raw.decode("latin-1")
        return convert_fields(dict.fromkeys(wanted.__struct_fields__, text), wanted, strict=False)

    return read


_BOX: Any = SecretBox([Fernet.generate_key().decode()])
_HOSTS = Hosts("https://loadbell.example.org/bell")


def _scope(header: bytes) -> Callable[[bytes], Any]:
    def scope(raw: bytes) -> Any:
        body = {"type": "http", "headers": [(header, raw)], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
        return {**body, "scheme": "http", "http_version": "1.1"}

    return scope


def _cookies(raw: bytes) -> object:
    body = read_cookies(_scope(b"cookie")(raw), (SESSION, ORGANIZATION, VISITOR, THEME))
    return [_credential(value) for value in (raw.decode("latin-1"), *body.values())]


def _credential(text: str) -> object:
    return hash_credential(text), derive_token(text), asyncio.run(is_visitor_secret(_BOX, text))


def _page_form(raw: bytes) -> object:
    """Everything that any page reads from a form, of the same one."""
    form, token = read_form(raw, "application/x-www-form-urlencoded; charset=utf-8")
    found: list[object] = [derive_token(token)]
    for read in _OF_FORMS:
        with suppress(Refused):
            found.append(read(form))
    form.check()
    return found


_OF_FORMS: tuple[Callable[[Form], object], ...] = (
    channel_forms.parse_name, channel_forms.parse_subscription, members._role, members._projects, organizations._name,
    projects._name, tokens._name, tokens._project, lambda form: parse_datetime(form.get("since", ""), "since"),
    *(lambda form, kind=kind: channel_forms.parse_settings(kind, form, None) for kind in channel_types()),
    *(lambda form, kind=kind: channel_forms.build_fields(kind, None, form) for kind in channel_types()),
)  # fmt: skip


def _onward(text: str) -> object:
    return strip_root(text, "/bell") if _LOCAL.fullmatch(text) else "/"


READERS: Mapping[str, Reader] = {
    "a path": (_text(_strip_prefix), ()),
    "k6's version": (_text(_tool), ()),
    "a body of JSON": (lambda raw: decode_body(raw, "application/json", NewRunBody), (Refused,)),
    "a media type": (_text(lambda text: decode_body(b"{}", text, NewRunBody)), (Refused,)),
    "a run of k6's": (k6_create.parse_json, (Refused,)),
    "a form of k6's": (_form("multipart/form-data; boundary=x"), (Refused,)),
    "a form's media type": (lambda raw: _form(raw.decode("latin-1"))(b""), (Refused,)),
    "an archive": (_archive, ()),
    "snappy": (k6_points.read_protobuf, (k6_points.BadPush,)),
    "protobuf": (_protobuf, (k6_points.BadPush, TooMuchWork)),
    "gzip": (k6_points.read_json, (k6_points.BadPush,)),
    "samples": (lambda raw: condense(k6_points.read_json(gzip.compress(raw, 1)), ()), (k6_points.BadPush,)),
    "an expression": (_text(parse_expression), ()),
    "a selection": (_text(parse_selection), ()),
    "Retry-After": (_text(lambda text: parse_retry_after(text, NOW)), ()),
    **{f"{kind.title}'s response": (_judge(kind), ()) for kind in channel_types().values()},
    "an address of the web": (_text(parse_url), (BadUrl,)),
    "an address of mail": (_text(is_email), ()),
    "a cursor of ids": (_text(lambda text: PageQuery(cursor=text).before_id()), (Refused,)),
    "a cursor of UUIDs": (_text(lambda text: PageQuery(cursor=text).before_uuid()), (Refused,)),
    "filters of runs": (_query(RunsQuery), (Refused,)),
    "filters of the log": (_query(LogQuery), (Refused,)),
    "filters of the audit log": (_query(AuditQuery), (Refused,)),
    "filters of an export": (_query(ExportQuery), (Refused,)),
    "a query string": (read_query, ()),
    "cookies": (_cookies, ()),
    "a page's form": (_page_form, (Refused,)),
    "a page's form's media type": (_text(lambda text: read_form(b"a=b", text)), (Refused,)),
    "where to go on": (_text(_onward), ()),
    "a date of a form": (_text(lambda text: parse_datetime(text, "since")), (Refused,)),
    "an id in a path": (_text(lambda text: parse_integer_id(text, "run")), (Refused,)),
    "a UUID in a path": (_text(lambda text: parse_uuid_id(text, "delivery")), (Refused,)),
    "a Host": (lambda raw: _HOSTS.check(_scope(b"host")(raw)), (Refused,)),
    "a Host of this machine": (lambda raw: _HOSTS.is_local(_scope(b"host")(raw)), ()),
    "an Origin": (lambda raw: _HOSTS.refuse_foreign(_scope(b"origin")(raw)), (Refused,)),
    "a text for people": (_text(readable), ()),
}  # fmt: skip
