"""What a channel rings for, on the page: what is ticked is what is saved, and what is saved is what is shown."""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.channels import Subscription
from loadbell.domain.events import EventName
from loadbell.domain.runs import Result, RunStatus, Trigger
from loadbell.web import channel_forms as forms
from loadbell.web import rendering
from loadbell.web.form import Form
from tests.support.server import wait_until
from tests.web.team import Team

PROJECTS = {1: "Web shop", 2: "Back office"}
PAIRS = st.tuples(st.just("events"), st.sampled_from([one.value for one in EventName])) | st.sampled_from(
    [
        *(("statuses", str(one.value)) for one in RunStatus),
        *(("results", one.value) for one in Result),
        *(("triggers", one.value) for one in Trigger),
        *(("projects", str(one)) for one in (1, 2, 77)),
        ("only_on_change", "on"),
        ("only_failures", "on"),
    ]
)


def _hook(team: Team, **subscription: Any) -> str:
    """The address of a new channel to nowhere."""
    body = {"kind": "webhook", "name": "Gate", "settings": {"url": "http://127.0.0.1:9/"}, "subscription": subscription}
    made = team.client().ok("POST", f"/organizations/{team.organization_id}/channels", body)
    return f"/channels/{made['id']}"


def _is_notified(team: Team, path: str, status: int, result: str) -> bool:
    """Whether the channel is told of the end of such a run."""
    run = team.client().ok("POST", "/runs", {"name": "x", "status": status, "result": result})
    wait_until(lambda: team.client().ok("GET", f"/runs/{run['id']}")["ended_at"] is not None)
    listed = team.client().ok("GET", f"{path}/deliveries")["items"]
    return run["id"] in {one["run_id"] for one in listed}


def test_only_failures_rings_for_every_failed_run(team: Team) -> None:
    """A run whose result is failed is told however it ended, and so are the failure statuses; nothing else is."""
    path = _hook(team)
    answer = team.owner.post(
        path, {"name": "Gate", "enabled": "on", "url": "http://127.0.0.1:9/…", "quick": "failures"}
    )
    assert answer.location == f"{path}?done=saved#settings"
    ends = [(3, "failed"), (6, "failed"), (4, "unknown"), (8, "unknown"), (9, "failed"), (11, "failed"), (12, "failed")]

    assert [True] * len(ends) == [_is_notified(team, path, *end) for end in ends]
    assert [False] * 3 == [_is_notified(team, path, *end) for end in ((3, "passed"), (3, "unknown"), (6, "unknown"))]
    page = team.owner.get(path)
    assert 'name="quick" value="failures" checked' in page.text
    assert "Runs that fail, time out" in page.words


@pytest.mark.parametrize("quick", ["all", "failures", "change", None])
@pytest.mark.parametrize("place", ["section", "page"])
def test_a_tick_is_never_thrown_away(team: Team, place: str, quick: str | None) -> None:
    """Without script: boxes that are ticked beside any other choice are saved as My choice, and the page says so."""
    path = _hook(team)
    of, to = (path, path) if place == "page" else (f"{team.path}/notifications", f"{team.path}/notifications/webhook")
    fields = {"name": "Gate", "enabled": "on", "url": "http://127.0.0.1:9/…", "results": "failed", "triggers": "ci"}
    answer = team.owner.post(to, fields | ({} if quick is None else {"quick": quick}), of=of)
    assert answer.status == 303
    page = team.owner.get(answer.location.partition("#")[0])

    assert "Saved as My choice because boxes were selected" in page.words
    wants = team.client().ok("GET", path)["subscription"]
    assert (["failed"], ["ci"], [], False) == (
        wants["results"], wants["triggers"], wants["statuses"], wants["only_failures"],
    )  # fmt: skip
    assert 'name="quick" value="mine" checked' in page.text
    assert 'name="results" value="failed" checked' in page.text


def test_a_first_save_says_so_too(team: Team) -> None:
    """The page that shows a new WebHook's signing secret says what became of the ticks."""
    path = f"{team.path}/notifications"
    body = {"url": "http://127.0.0.1:9/", "quick": "all", "statuses": "12"}
    page = team.owner.post(f"{path}/webhook", body, of=path)

    assert "whsec_" in page.text
    assert "Saved as My choice because boxes were selected." in page.words
    [channel] = team.client().ok("GET", f"/organizations/{team.organization_id}/channels")["items"]
    assert [12] == channel["subscription"]["statuses"]


def test_what_the_page_does_not_offer_is_not_lost(team: Team) -> None:
    """An event or a status that somebody chose over REST stands among the boxes, ticked, and is sent again."""
    path = _hook(team, events=["test.notification_channel", "test.finished"], statuses=[2, 12], only_failures=True)
    page = team.owner.get(path)
    form = _submit(page.text)
    before = {"test.notification_channel", "test.finished"}

    assert {("events", text) for text in before} <= set(form)
    assert {("statuses", "2"), ("statuses", "12"), ("only_failures", "on"), ("quick", "mine")} <= set(form)


@given(ticked=st.lists(PAIRS, max_size=8, unique=True), quick=st.sampled_from(["all", "failures", "change", "mine"]))
def test_what_is_shown_is_what_is_stored(ticked: list[tuple[str, str]], quick: str) -> None:
    """Whatever is ticked and chosen: the page shows what was stored, and saving what it shows stores the same again."""
    stored = forms.parse_subscription(Form([("quick", quick), *ticked])).subscription
    again = forms.parse_subscription(Form(_render(stored)))

    assert _sets(stored) == _sets(again.subscription)
    assert not again.preset_ignored
    mine = [pair for pair in ticked if pair[0] not in {"projects", "triggers"}]
    if mine:
        assert _sets(stored) == _of(ticked)
    elif quick in forms.PRESETS:
        assert replace(stored, projects=(), triggers=()) == forms.PRESETS[quick][2]


@given(
    subscription=st.builds(
        Subscription,
        events=st.lists(st.sampled_from(EventName), unique=True).map(tuple),
        statuses=st.lists(st.sampled_from(RunStatus), unique=True, max_size=3).map(tuple),
        results=st.lists(st.sampled_from(Result), unique=True).map(tuple),
        projects=st.lists(st.sampled_from([1, 2, 77]), unique=True).map(tuple),
        triggers=st.lists(st.sampled_from(Trigger), unique=True).map(tuple),
        only_on_change=st.booleans(),
        only_failures=st.booleans(),
    )
)
def test_saving_what_is_shown_changes_nothing(subscription: Subscription) -> None:
    """Any subscription, also one that was made over REST, comes out of the page's form as it went in."""
    assert _sets(subscription) == _sets(forms.parse_subscription(Form(_render(subscription))).subscription)


def _render(subscription: Subscription) -> list[tuple[str, str]]:
    """What a browser would send of the form that shows this subscription."""
    module: Any = rendering._templates("").get_template("partials/channel_form.html").module
    return _submit(module.wants("x", forms.subscription_form(subscription), forms, PROJECTS))


def _submit(page: str) -> list[tuple[str, str]]:
    """What a browser sends of the boxes and choices that are ticked, and of text fields."""
    found = []
    for tag in re.findall(r"<input [^>]*>", page):
        values: Mapping[str, str] = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        box = values.get("type") in {"checkbox", "radio"}
        if "name" in values and (not box or re.search(r" checked\b", tag)):
            found.append((values["name"], html.unescape(values.get("value", "on"))))
    return found


def _sets(subscription: Subscription) -> dict[str, Any]:
    return {
        "events": {one.value for one in subscription.events},
        "statuses": {str(one.value) for one in subscription.statuses},
        "results": {one.value for one in subscription.results},
        "projects": {str(one) for one in subscription.projects},
        "triggers": {one.value for one in subscription.triggers},
        "only_on_change": {"on"} if subscription.only_on_change else set(),
        "only_failures": {"on"} if subscription.only_failures else set(),
    }


def _of(ticked: Iterable[tuple[str, str]]) -> dict[str, Any]:
    body: dict[str, Any] = {name: set() for name in _sets(Subscription())}
    for name, value in ticked:
        body[name].add(value)
    return body
