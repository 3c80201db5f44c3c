"""When a run began and how long it took: one duration, its source's own, wherever it is read."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.api.site import ApiSite


def moment(**ago: float) -> str:
    """The instant so long ago, as the API takes it."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def seconds_between(run: dict[str, Any], first: str = "started_at", last: str = "ended_at") -> float:
    """The seconds from one time of the run to another."""
    return (datetime.fromisoformat(run[last]) - datetime.fromisoformat(run[first])).total_seconds()


def create_run(site: ApiSite, **given: Any) -> dict[str, Any]:
    """A run, reported."""
    body: dict[str, Any] = site.client.ok("POST", "/runs", {"name": "Checkout", **given})
    return body


def test_a_run_that_is_told_of_afterwards(site: ApiSite) -> None:
    """It began and ended when its source says, and took as long; without times, no duration is made up."""
    run = create_run(site, status=3, started_at=moment(hours=2), duration_s=600.5)

    assert 600.5 == seconds_between(run)
    assert 7190 < seconds_between(run, "started_at", "created_at") < 7260
    assert 90 == seconds_between(create_run(site, status=12, duration_s=90))
    assert None is create_run(site, status=3)["started_at"]


def test_an_end_with_a_duration(site: ApiSite) -> None:
    """The duration that comes with an end is the run's, though its start was heard of late; sent twice, it stays."""
    run = create_run(site)
    ended, again = (
        site.client.ok("PATCH", f"/runs/{run['id']}", {"status": 3, "duration_s": 14.451}) for _ in range(2)
    )

    assert ended == again
    assert 14.451 == pytest.approx(seconds_between(ended), abs=0.001)
    assert ended == site.client.ok("GET", f"/runs/{run['id']}")


def test_a_start_that_is_told_late(site: ApiSite) -> None:
    """A run that began before the server could be told began then; by its end both times agree with its duration."""
    run = create_run(site, started_at=moment(seconds=30))
    ended = site.client.ok("PATCH", f"/runs/{run['id']}", {"status": 3, "duration_s": 12})

    assert 29 < seconds_between(run, "started_at", "created_at") < 60
    assert (run["started_at"], 12) == (ended["started_at"], seconds_between(ended))


@pytest.mark.parametrize("wrong_by", [timedelta(hours=-3), timedelta(0), timedelta(days=400)])
def test_a_wrong_clock(site: ApiSite, wrong_by: timedelta) -> None:
    """With a Date header only the span since the start counts, however wrong the clock of the load generator is."""
    there = datetime.now(UTC).replace(microsecond=0) + wrong_by
    body = {"name": "Checkout", "started_at": (there - timedelta(seconds=8)).isoformat()}
    run = site.client.call("POST", "/runs", body, headers={"Date": format_datetime(there, usegmt=True)}).json

    assert 8 == pytest.approx(seconds_between(run, "started_at", "created_at"), abs=0.002)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"started_at": moment(hours=-10)}, "started_at"),
        ({"started_at": moment(days=40)}, "started_at"),
        ({"started_at": "2026-11-28T10:00:00"}, "started_at"),
        ({"started_at": moment(minutes=1), "status": 1}, "started_at"),
        ({"duration_s": 5}, "duration_s"),
        ({"status": 3, "duration_s": -1}, "duration_s"),
        ({"status": 3, "duration_s": 1e9}, "duration_s"),
        ({"status": 3, "started_at": moment(minutes=1), "duration_s": 86_400}, "duration_s"),
    ],
)
def test_times_that_can_not_be(still_site: ApiSite, given: dict[str, Any], field: str) -> None:
    """A start ahead of us or long ago, a time without a zone, and a duration that does not fit are refused."""
    answer = still_site.client.call("POST", "/runs", {"name": "Checkout", **given})

    assert (422, field) == (answer.status, answer.json["errors"][0]["field"])


def test_a_duration_without_an_end(site: ApiSite) -> None:
    """A run that goes on has no duration yet."""
    answer = site.client.call("PATCH", f"/runs/{create_run(site)['id']}", {"duration_s": 5})

    assert (422, "duration_s") == (answer.status, answer.json["errors"][0]["field"])


def test_a_run_that_is_named_for_its_tool_only(site: ApiSite) -> None:
    """Runs that nothing but their tool names are of no test: a failure of one says nothing of the next."""
    channel = site.channel("http://127.0.0.1:9", subscription={"events": ["test.finished"], "only_on_change": True})
    for name, result in (("wrk", "failed"), ("wrk", "passed"), ("Named", "failed"), ("Named", "passed")):
        create_run(site, name=name, tool="wrk", status=3, result=result)

    told = site.client.ok("GET", f"/channels/{channel['id']}/deliveries")["items"]
    runs = [site.client.ok("GET", f"/runs/{delivery['run_id']}") for delivery in told]
    assert [("Named", "passed"), ("Named", "failed"), ("wrk", "failed")] == [(r["name"], r["result"]) for r in runs]
