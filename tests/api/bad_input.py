"""
Every route of REST v1 with a request that works and with the many ways in which it must not.

A route that is in the OpenAPI document, not in :data:`RUNS_AND_CHANNELS` and not in ``bad_input_people.py`` fails
``test_bad_input.py``.
"""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadbell.accounts.credentials import Prefix, hash_credential, make_credential
from loadbell.domain.ids import SECOND
from loadbell.domain.orgs import Role, Scope
from loadbell.store.sessions import insert_session
from tests.api.site import ApiSite, Tenant, clock
from tests.support.server import Client

UNUSED = 987_654_321
NO_INTEGERS = [
    "0", "-1", "-0", "+1", "01", "1.0", "1e1", "1_0", "abc", "None", "%00", "1%00", "%D9%A1", "%FF", "%20", "1%20",
    "..%2F1", str(2**31), str(2**63 - 1), str(2**63), str(2**64), str(2**64 + 1), "9" * 400,
]  # fmt: skip
NO_UUIDS = ["1", "abc", "%00", "%7B{0}%7D", "urn:uuid:{0}", "{0}%00", "{0}0", "%FF", "9" * 400]


@dataclass(frozen=True)
class Things:
    """What the requests are about: one of each of ours, one of each of theirs, and clients of every kind."""

    ours: dict[str, str]
    theirs: dict[str, str]
    hidden: dict[str, str]  #: of our organization, in a project that the member is not assigned to
    clients: dict[str, Client]  #: by what they may do


@dataclass(frozen=True)
class Route:
    """One method of one path. ``forbidden``: the clients that may not use it."""

    method: str
    path: str
    body: dict[str, Any] | None = None  #: one that works; None: the route takes none
    wrong: tuple[tuple[str, Any], ...] = ()  #: fields with values that are wrong, and are named in the answer
    forbidden: frozenset[str] = frozenset()
    query: tuple[str, ...] = ()  #: names of the query that are checked
    asker: str = "owner"  #: the client that may use it

    @property
    def name(self) -> str:
        """How the route is told in a test's name."""
        return f"{self.method} {self.path}"

    @property
    def ids(self) -> list[str]:
        """The names of the ids in its path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    def at(self, ids: dict[str, str]) -> str:
        """Its path with these ids."""
        return self.path.format(**ids)


_READ_ONLY = frozenset({"read"})
_REPORTERS = frozenset({"report"})
LEADS_READ = frozenset({"report", "member"})
LEADS_WRITE = frozenset({"report", "read", "member"})
PAGE = ("limit", "cursor")
_LOG = (*PAGE, "status", "event", "since", "until")

_NUMBERS: tuple[Any, ...] = ("2", True, 2.5, [], {}, 13, -2, 2**31, 2**63, 2**64)
TEXTS: tuple[Any, ...] = (5, True, [], {}, 1.5)


def each(field: str, *values: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((field, value) for value in values)


MEMBER = {"role": "member"}
_REPLAY = {"since": "2020-01-01T00:00:00Z", "statuses": ["failed"]}
_SETTINGS = each("settings", None, "x", 5, [], [1])
_METRICS = (
    *each("metrics", [], "x", 5),
    ("metrics.a", {"a": "5"}),
    ("metrics.a", {"a": True}),
    ("metrics.a", {"ok": 1, "a": None}),
    ("metrics", {"": 1}),
    ("metrics", {"n" * 201: 1}),
    ("metrics", {str(number): number for number in range(201)}),
    ("metrics.a", {"a": 10**400}),
)
_SUBSCRIPTION = (
    *each("subscription", [], "x", 5),
    ("subscription.events", {"events": "test.started"}),
    ("subscription.events.0", {"events": ["test.paused"]}),
    ("subscription.statuses.1", {"statuses": [2, 99]}),
    ("subscription.results.0", {"results": [None]}),
    ("subscription.projects.0", {"projects": ["1"]}),
    ("subscription.projects", {"projects": [UNUSED]}),
    ("subscription.projects", {"projects": [2**64]}),
    ("subscription.projects", {"projects": [-1]}),
    ("subscription.projects", {"projects": list(range(1001))}),
    ("subscription.triggers.0", {"triggers": ["moon"]}),
    ("subscription.only_on_change", {"only_on_change": "yes"}),
    ("subscription.only_failures", {"only_failures": 1}),
)

RUNS_AND_CHANNELS: tuple[Route, ...] = (
    Route(
        "POST",
        "/runs",
        {"name": "n"},
        (
            *each("name", *TEXTS, None, "", "n" * 10_001),
            *each("project_id", "1", True, 1.5, [], {}),
            *each("status", *_NUMBERS, 5, 7, 10),
            *each("trigger", "moon", *TEXTS),
            *each("source", "jmeter", *TEXTS),
            *each("links", {}, "x", [{"title": "t", "url": "https://a.example"}] * 21),
            ("links.0.url", [{"title": "t", "url": "javascript:alert(1)"}]),
            ("links.0.url", [{"title": "t", "url": "https://a example"}]),
            ("links.0.url", [{"title": "t"}]),
            ("links.0.title", [{"title": "", "url": "https://a.example"}]),
            *each("watchdog_s", "60", 0, -1, 86_401, 1.5, True, 2**64),
        ),
        _READ_ONLY,
    ),
    Route("GET", "/runs", query=(*PAGE, "status", "result", "source", "project_id")),
    Route("GET", "/runs/{run_id}"),
    Route(
        "PATCH",
        "/runs/{run_id}",
        {"note": "n"},
        (
            *each("status", *_NUMBERS),
            *each("result", "great", *TEXTS, "passed", "failed"),
            *_METRICS,
            *each("thresholds", {}, "x", [{"expression": "e", "ok": True}] * 201),
            ("thresholds.0.ok", [{"expression": "e", "ok": "yes"}]),
            ("thresholds.0.ok", [{"expression": "e"}]),
            ("thresholds.0.value", [{"expression": "e", "ok": True, "value": "1"}]),
            *each("note", *TEXTS, "n" * 10_001),
        ),
        _READ_ONLY,
    ),
    Route("POST", "/runs/{run_id}/heartbeat", {}, _METRICS, _READ_ONLY),
    Route("POST", "/runs/{run_id}/abort", {}, (), _READ_ONLY),
    Route("GET", "/runs/{run_id}/deliveries", forbidden=_REPORTERS, query=PAGE),
    Route(
        "POST",
        "/organizations/{organization_id}/channels",
        {"kind": "webhook", "name": "n", "settings": {"url": "https://a.example/"}},
        (
            *each("kind", None, "pager", "Slack", "WebHook", *TEXTS),
            *each("name", None, "", "n" * 201, *TEXTS),
            *_SETTINGS,
            ("settings.url", {}),
            ("settings.url", {"url": "http://192.168.1.1/"}),
            *_SUBSCRIPTION,
            *each("enabled", "yes", 1, [], {}),
        ),
        LEADS_WRITE,
    ),
    Route("GET", "/organizations/{organization_id}/channels", forbidden=_REPORTERS, query=PAGE),
    Route("GET", "/channels/{channel_id}", forbidden=_REPORTERS),
    Route(
        "PATCH",
        "/channels/{channel_id}",
        {"name": "n"},
        (
            *each("name", "", "n" * 201, *TEXTS),
            *each("settings", "x", 5, [], [1]),
            ("settings.url", {"url": "http://3232235777/", "headers": {}}),
            *_SUBSCRIPTION,
            *each("enabled", "yes", 1, [], {}),
        ),
        LEADS_WRITE,
    ),
    Route("DELETE", "/channels/{channel_id}", forbidden=LEADS_WRITE),
    Route("POST", "/channels/{channel_id}/test", {}, (), LEADS_WRITE),
    Route(
        "POST",
        "/organizations/{organization_id}/channels/test",
        {"kind": "webhook", "settings": {"url": "https://a.example/"}},
        (*each("kind", None, "pager", *TEXTS), *_SETTINGS, ("settings.url", {})),
        LEADS_WRITE,
    ),
    Route(
        "POST",
        "/channels/{channel_id}/rotate-secret",
        {"overlap": "1h"},
        each("overlap", "", "1", "-1s", "8d", "604801s", "1 day", "9" * 400, *TEXTS),
        LEADS_WRITE,
    ),
    Route(
        "POST",
        "/channels/{channel_id}/replay",
        _REPLAY,
        (
            *each("since", None, "yesterday", "2020-01-01", "2020-01-01T00:00:00", "2999-01-01T00:00:00Z", 5, [], {}),
            *each("until", "yesterday", "2020-01-01", "2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z", 5, [], {}),
            *each("statuses", None, "failed", [], {}, 5, ["failed"] * 1_001),
            *(("statuses.0", [status]) for status in ("pending", "sending", "moon", None, 5)),
            *each("dry_run", "yes", 1, [], {}),
        ),
        LEADS_WRITE,
    ),
    Route("GET", "/channels/{channel_id}/replays/{replay_id}", forbidden=LEADS_READ),
    Route("POST", "/channels/{channel_id}/pause", {}, (), LEADS_WRITE),
    Route("POST", "/channels/{channel_id}/resume", {"held": "drop"}, each("held", None, "keep", *TEXTS), LEADS_WRITE),
    Route("GET", "/channels/{channel_id}/deliveries", forbidden=LEADS_READ, query=_LOG),
    Route("GET", "/organizations/{organization_id}/deliveries", forbidden=LEADS_READ, query=_LOG),
    Route("GET", "/deliveries/{delivery_id}", forbidden=_REPORTERS),
    Route("POST", "/deliveries/{delivery_id}/redeliver", {}, (), LEADS_WRITE),
    Route("POST", "/deliveries/{delivery_id}/cancel", {}, (), LEADS_WRITE),
)

WRONG_QUERY: dict[str, tuple[str, ...]] = {
    "limit": ("0", "201", "null", "-1", "abc", "1.5", "", "%00", "%FF", str(2**64), "9" * 400),
    "cursor": ("", "null", "abc", "!!!", "%00", "%FF", "MA", "LTE", "OTIyMzM3MjAzNjg1NDc3NTgwOA", "9" * 400),
    "status": ("moon", "null", "99", "", "%00", "2.0"),
    "result": ("moon", "null", "", "%00", "5"),
    "source": ("moon", "null", "", "%00"),
    "project_id": ("abc", "null", "NULL", "", "%00", "1.5"),
    "event": ("moon", "null", "", "%00"),
    "since": ("yesterday", "null", "2020-01-01", "2020-01-01T00:00:00", "", "%00", "5"),
    "user_id": ("abc", "null", "", "%00", "1.5"),
    "action": ("null", "", "%00", "Member.Removed", "a" * 400),
    "dry_run": ("yes", "null", "", "2", "%00"),
    "until": ("yesterday", "null", "2020-01-01", "2020-01-01T00:00:00", "", "%00", "5"),
}

NO_JSON: tuple[tuple[str, bytes], ...] = (
    ("cut off", b'{"name": "n'),
    ("a comma too many", b'{"name": "n",}'),
    ("two values", b'{"name": "n"} {}'),
    ("not a number", b'{"name": "n", "x": NaN}'),
    ("infinity", b'{"name": "n", "x": -Infinity}'),
    ("invalid UTF-8", b'{"name": "\xff"}'),
    ("a surrogate in UTF-8", b'{"name": "\xed\xa0\x80"}'),
    ("an overlong NUL", b'{"name": "\xc0\x80"}'),
    ("a lone surrogate", b'{"name": "\\ud800"}'),
    ("a lone low surrogate", b'{"name": "\\udc00"}'),
    ("surrogates in the wrong order", b'{"name": "\\udc00\\ud800"}'),
    ("a raw NUL", b'{"name": "\x00"}'),
    ("UTF-16", '{"name": "n"}'.encode("utf-16")),
    ("a byte order mark", b'\xef\xbb\xbf{"name": "n"}'),
    ("a form", b"name=n"),
    ("lists without end", b"[" * 60_000),
    ("objects without end", b'{"a":' * 12_000),
    ("deep and whole", b"[" * 30_000 + b"]" * 30_000),
)

NO_OBJECT: tuple[tuple[str, bytes], ...] = tuple(
    (text.decode(), text) for text in (b"[]", b"null", b'"text"', b"5", b"true", b'[{"name": "n"}]', b"1e400")
)

NUL: tuple[tuple[str, str], ...] = (
    ("name", '{"name": "a\\u0000b"}'),
    ("x.y.1", '{"x": {"y": ["", "\\u0000"]}}'),
    ("body", '{"a\\u0000b": 1}'),
    ("settings", '{"settings": {"\\u0000": "x"}}'),
    ("settings.headers.X", '{"settings": {"headers": {"X": "\\u0000"}}}'),
)

NO_JSON_TYPE: tuple[str, ...] = (
    "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/json; charset=latin-1", "application/json; charset=utf-16", "application/jsonx", "json", "*/*",
)  # fmt: skip


def arrange(site: ApiSite) -> Things:
    """One of everything, ours and theirs; our run has ended in no way and our delivery is pending."""
    elsewhere = site.project()
    ours = _things(site, site.client, site.ours)
    hidden = _things(site, site.client, site.ours, project_id=elsewhere)
    theirs = _things(site, site.their_client, site.theirs)
    past = clock() - 1
    clients = {
        "owner": site.client,
        "report": site.with_token(scope=Scope.REPORT),
        "read": site.with_token(scope=Scope.READ),
        "member": site.with_token(role=Role.MEMBER, projects=(site.ours.project_id,)),
        "expired": Client(site.url, site.token(expires_at=past)),
        "unknown": Client(site.url, "lb_" + os.urandom(32).hex()),
        "session": Client(site.url, session(site, site.ours)[1]),
        "strange": Client(site.url, "\u00e9 \u00ff"),
        "nobody": site.nobody,
    }
    return Things(ours, theirs, hidden, clients)


def session(site: ApiSite, tenant: Tenant) -> tuple[int, str]:
    """A session of the owner of ``tenant``: its id, and what opens it."""
    bearer = make_credential(Prefix.SESSION, os.urandom)
    now = clock()
    made = site.do(
        lambda tx: insert_session(
            tx,
            user_id=tenant.user_id,
            session_hash=hash_credential(bearer),
            address=None,
            agent=None,
            expires_at=now + 3_600 * SECOND,
        )
    )
    return made, bearer


def _things(site: ApiSite, client: Client, tenant: Tenant, **given: Any) -> dict[str, str]:
    here = f"/organizations/{tenant.organization_id}"
    channel = site.channel("http://127.0.0.1:9/", client)
    run = client.ok("POST", "/runs", {"name": "n", "watchdog_s": 86_400, **given})
    listed = client.ok("GET", f"/runs/{run['id']}/deliveries")["items"]
    return {
        "organization_id": str(tenant.organization_id),
        "project_id": str(client.ok("POST", f"{here}/projects", {"name": "n"})["id"]),
        "user_id": str(site.person(tenant)),
        "invitation_id": str(
            client.ok("POST", f"{here}/invitations", {"email": f"{os.urandom(8).hex()}@a.example", **MEMBER})["id"]
        ),
        "token_id": str(client.ok("POST", "/tokens", {"name": "n", "scope": "read"})["id"]),
        "session_id": str(session(site, tenant)[0]),
        "channel_id": str(channel["id"]),
        "run_id": str(run["id"]),
        "replay_id": str(client.ok("POST", f"/channels/{channel['id']}/replay", _REPLAY)["id"]),
        "delivery_id": next(item["id"] for item in listed if item["channel_id"] == channel["id"]),
    }


def no_ids(name: str, things: Things) -> Iterator[str]:
    """What can't be, is not, or is somebody else's ``name``."""
    yield things.theirs[name]
    if name == "delivery_id":
        yield str(uuid.uuid4())
        yield from (text.format(things.ours[name]) for text in NO_UUIDS)
    else:
        yield str(UNUSED)
        yield from NO_INTEGERS
