"""What a run of k6 says of itself: of which requests a figure is, how often a second, and what was not measured."""

import time
from typing import Any

import pytest

from loadbell.domain.ids import SECOND
from loadbell.domain.measurements import Counter, Measurements, Point, condense
from loadbell.runs.measurements import judge_thresholds, summarize
from tests.api.site import ApiSite
from tests.sources.test_k6_api import create, error, k6, now
from tests.support.k6_pushes import compress, empty, push, trend
from tests.support.server import Client


def other_protocols(at: int) -> bytes:
    """A push of gRPC and WebSocket calls, without HTTP requests."""
    said = empty()
    for name, values in (
        ("grpc_req_duration", [20.0] * 10),
        ("ws_connecting", [30.0] * 4),
        ("ws_session_duration", [4000.0] * 4),
        ("iteration_duration", [900.0] * 5),
    ):
        trend(said.metrics.add(name=name).time_series.add(), at, values)
    for name, value in (("ws_sessions", 4), ("ws_msgs_sent", 8), ("ws_msgs_received", 9), ("iterations", 5)):
        series = said.metrics.add(name=name).time_series.add()
        series.counter_samples.values.add(time={"seconds": at}, value=value)
    return compress(said)


def end(client: Client, run: int, thresholds: dict[str, dict[str, bool]], result: int = 0) -> None:
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": result, "thresholds": thresholds})


def test_each_figure_says_of_what_it_is(still_site: ApiSite) -> None:
    """GRPC and WebSockets have figures of their own, iterations too; none of them passes for HTTP requests."""
    client = k6(still_site)
    run = create(client)
    client.ok("POST", f"//v2/metrics/{run}", other_protocols(now()))
    metrics = still_site.client.ok("GET", f"/runs/{run}")["metrics"]

    assert not {"p50_ms", "p95_ms", "p99_ms", "requests", "requests_per_s", "failed_rate"} & set(metrics)
    assert pytest.approx(20, rel=0.01) == metrics["grpc_p95_ms"] == metrics["grpc_p50_ms"] == metrics["grpc_p99_ms"]
    assert pytest.approx(30, rel=0.01) == metrics["ws_connecting_p95_ms"]
    assert pytest.approx(4000, rel=0.01) == metrics["ws_p95_ms"]
    assert pytest.approx(900, rel=0.01) == metrics["iteration_p95_ms"]
    assert (10, 4, 8, 9, 5) == tuple(
        metrics[name]
        for name in ("grpc_requests", "ws_sessions", "ws_messages_sent", "ws_messages_received", "iterations")
    )


@pytest.mark.parametrize("push_it", [False, True])
def test_a_threshold_that_measured_nothing_proves_nothing(still_site: ApiSite, push_it: bool) -> None:
    """k6 says that it held; where no threshold measured anything, nobody knows whether the run passed."""
    client = k6(still_site)
    thresholds = {"http_req_duration": ["p(95)<500"], "http_req_failed{name:login}": ["rate<0.1"], "mine": ["count>5"]}
    run = create(client, {"name": "x", "thresholds": thresholds})
    if push_it:
        client.ok("POST", f"//v2/metrics/{run}", other_protocols(now()))
    end(client, run, {key: dict.fromkeys(of, False) for key, of in thresholds.items()})
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert (3, "unknown") == (found["status"], found["result"])
    assert [None] * 3 == [one["value"] for one in found["thresholds"]]


def test_one_threshold_that_measured_something_is_enough(still_site: ApiSite) -> None:
    """The run has passed by that one; a crossed one fails it as before."""
    client = k6(still_site)
    thresholds = {"iterations": ["count>0"], "http_req_duration": ["p(95)<500"]}
    for crossed, expected in ((False, (3, "passed")), (True, (12, "failed"))):
        run = create(client, {"name": "x", "thresholds": thresholds})
        client.ok("POST", f"//v2/metrics/{run}", other_protocols(now()))
        end(client, run, {"iterations": {"count>0": crossed}, "http_req_duration": {"p(95)<500": False}}, int(crossed))
        found = still_site.client.ok("GET", f"/runs/{run}")
        assert expected == (found["status"], found["result"])
        assert [5, None] == [one["value"] for one in found["thresholds"]]


def test_what_may_have_been_measured_is_not_called_nothing() -> None:
    """Tags that k6 keeps to itself, values that were left out, and selections nobody followed may have had some."""
    followed = {"m{vu:1}": ["count>0"], "m{a:1}": ["count>0"], "m": ["count>0"]}
    body: dict[str, dict[str, bool]] = {**{key: {"count>0": True} for key in followed}, "m{b:1}": {"count>0": True}}

    def empties(measured: Measurements) -> list[bool]:
        return [threshold.is_empty for threshold in judge_thresholds(measured, body)]

    assert [False, True, True, False] == empties(Measurements(announced=True, thresholds=followed))
    assert [False] * 4 == empties(Measurements(announced=True, thresholds=followed, left_out=1))


@pytest.mark.parametrize(
    ("took", "rate"),
    [
        (None, 40.0),  # while it is under way: 27 periods of 3 s
        (75.4, 3240 / 75.4),
        (70.0, 3240 / 75),  # no shorter than from the end of the first period to the beginning of the last
        (500.0, 40.0),  # it did not measure all the time that it took
    ],
)
def test_requests_a_second_are_those_of_k6(took: float | None, rate: float) -> None:
    """All requests over the time from start to end, as k6 counts; a threshold on the rate is judged by the same."""
    measured = Measurements(announced=True, thresholds={"http_reqs": ["rate>42"]})
    points = [Point("http_reqs", {}, 1_800_000_000 + 3 * step, Counter(120.0)) for step in range(27)]
    measured.merge(condense(points, (), period=3), 1_800_000_000)
    threshold = judge_thresholds(measured, {"http_reqs": {"rate>42": rate > 42}}, took)[0]

    assert pytest.approx(rate) == summarize(measured, took)["requests_per_s"]
    assert pytest.approx(rate) == threshold.value


def test_the_time_that_counts_is_that_from_announcement_to_end(still_site: ApiSite) -> None:
    """The run's own start and end by our clock, not the whole periods in which it measured."""
    client = k6(still_site)
    run = create(client, {"name": "x", "thresholds": {"http_reqs": ["rate>1"]}})
    began = int(time.time()) // 3 * 3 - 30
    for step in range(10):
        client.ok("POST", f"//v2/metrics/{run}", push(began + 3 * step, times=[1.0] * 30))
    still_site.sql("UPDATE runs SET started_at = :at WHERE id = :id", at=int(time.time() - 25.5) * SECOND, id=run)
    end(client, run, {"http_reqs": {"rate>1": False}})
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert pytest.approx(300 / 26, rel=0.08) == found["metrics"]["requests_per_s"]
    assert found["thresholds"][0]["value"] == found["metrics"]["requests_per_s"]
    client.ok("POST", f"//v2/metrics/{run}", b"\x00")  # an empty push, after the end, changes nothing
    assert found["metrics"] == still_site.client.ok("GET", f"/runs/{run}")["metrics"]


LONG: dict[str, Any] = {
    "digits": {"m": {"value<" + "8" * 100_000 + "x": False}},
    "blanks": {"m": {"value<1" + " " * 100_000 + "x": False}},
    "a percentile of digits": {"m": {"p(" + "9" * 100_000: False}},
    "an exponent": {"m": {"value<1e" + "9" * 100: True, "p(" + "9" * 180 + ")<1": False, "rate<" + "٣" * 9: False}},
    "a selection": {"m{" + "a:b," * 25_000 + "}": {"count>0": False}},
    "a selection of blanks": {"m{" + " " * 100_000: {"count>0": False}},
    "many selections": {f"m{{a:{number}}}": {"count>0": False} for number in range(20_000)},
    "many expressions": {"m": {f"count>{number}": False for number in range(30_000)}},
}


@pytest.mark.parametrize("case", LONG)
def test_thresholds_however_long_are_answered_at_once(still_site: ApiSite, case: str) -> None:
    """Announced, judged and shown: what is too long is not parsed, what is too much is cut."""
    client = k6(still_site)
    began = time.thread_time()
    run = create(client, {"name": "x", "thresholds": {key: list(of) for key, of in LONG[case].items()}})
    client.ok("POST", f"//v2/metrics/{run}", push(now(), times=[1.0]))
    end(client, run, LONG[case])
    shown = still_site.client.ok("GET", f"/runs/{run}")["thresholds"]

    assert 1 <= len(shown) <= 200
    assert all(len(one["expression"]) <= 1_000 for one in shown)
    assert time.thread_time() - began < 5


@pytest.mark.parametrize(
    "body",
    [
        b'{"run_status": ' + b"9" * 100_000 + b"}",
        b'{"run_status": 1e' + b"9" * 100_000 + b"}",
        b'{"run_status": 3, "thresholds": ' + b"[" * 100_000 + b"}",
        b'{"run_status": 3, "x": ' + b'{"a":' * 100_000 + b"}",
    ],
    ids=["digits", "exponent", "lists", "objects"],
)
def test_an_end_that_can_not_be_read_is_refused(still_site: ApiSite, body: bytes) -> None:
    """Numbers without end and depth without end are told, in k6's form, and the server goes on."""
    client = k6(still_site)
    run = create(client)
    status, _, message = error(client.call("POST", f"//v1/tests/{run}", body))

    assert status in {400, 422}
    assert message.strip()
    assert 200 == client.call("POST", f"//v2/metrics/{run}", push(now(), times=[1.0])).status
