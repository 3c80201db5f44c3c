"""What a run's page shows of its measurements: course, thresholds so far, and the run before it."""

import re
import time

import pytest

from loadbell.domain.measurements import Measurements, build_samples, condense
from loadbell.notify.delivery_stats import Bucket
from loadbell.sources.k6_points import read_protobuf
from loadbell.web.charts import Bar, build_bar_chart, build_time_series
from tests.support.k6_pushes import push
from tests.support.server import Client
from tests.web.browser import Browser
from tests.web.events import open_stream
from tests.web.team import Team

THRESHOLDS = {"http_req_duration": ["p(95)<500"], "http_req_failed": ["rate<0.01"]}


def now() -> int:
    return int(time.time()) // 3 * 3


def begin(client: Client, name: str = "ramp.js") -> int:
    body = {"name": name, "thresholds": THRESHOLDS}
    return int(client.ok("POST", "//v1/tests", body, headers={"User-Agent": "k6cloud/2.2.0"})["reference_id"])


def measure(client: Client, run: int, *, slower: float = 1.0, failed: int = 0) -> None:
    for step in range(4):
        data = push(now() - 12 + 3 * step, vus=5 * step, times=[100.0 * slower] * 20, failed=failed)
        client.ok("POST", f"//v2/metrics/{run}", data)


def finish(client: Client, run: int) -> None:
    verdicts = {key: dict.fromkeys(of, False) for key, of in THRESHOLDS.items()}
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0, "thresholds": verdicts})


def test_a_run_under_way(team: Team) -> None:
    """Charts with a table twin, figures with units, and how the thresholds stand, which is not yet a verdict."""
    client = team.client()
    run = begin(client)
    assert 'id="course"' not in team.owner.get(f"/runs/{run}").text
    measure(client, run, failed=1)
    page = team.owner.get(f"/runs/{run}")

    for title in (
        "Response time, ms over time",
        "Virtual users over",
        "Requests per second over",
        "Failed requests over",
    ):
        assert title in page.words
    assert "limit 500" in page.words
    assert "p95 100 ms" in page.words
    assert "Failed requests 5 %" in page.words
    assert "http_req_duration: p(95)<500 100 ms Passing so far" in page.words
    assert "http_req_failed: rate<0.01 0.05 Crossed so far" in page.words
    assert "the tool decides at the end" in page.words
    assert "Source k6 2.2.0" in page.words
    assert re.search(r"Load as a table.*VUs Requests/s Iterations/s Failed, %", page.words)


def test_the_course_comes_by_itself(team: Team) -> None:
    """A push appears on a page that is open."""
    client = team.client()
    run = begin(client)
    with open_stream(team.owner, f"/runs/{run}/live") as stream:
        measure(client, run)
        while (event := stream.next()) is not None and "Virtual users over time" not in event.data:
            pass

    assert event is not None


def test_a_threshold_that_measured_nothing(team: Team) -> None:
    """It is neither held nor crossed, on the page as in messages."""
    client = team.client()
    run = begin(client)
    for step in range(4):
        client.ok("POST", f"//v2/metrics/{run}", push(now() - 12 + 3 * step, times=[9.0], http=False))
    finish(client, run)
    page = team.owner.get(f"/runs/{run}")

    assert "http_req_duration: p(95)<500 none \u2013 nothing was measured" in page.words
    assert "0 passed, 0 crossed, 2 without data" in page.words
    assert "Iteration p95 9" in page.words
    assert "Iteration time, ms over time" in page.words


def test_two_runs_of_a_test_compare(team: Team) -> None:
    """p95 and failed requests beside those of the run before; an aborted one, and one of another test, do not count."""
    client = team.client()
    before, aborted, other, after = (begin(client, name) for name in ("ramp.js", "ramp.js", "soak.js", "ramp.js"))
    measure(client, before)
    finish(client, before)
    measure(client, aborted, slower=9)
    client.ok("POST", f"//v1/tests/{aborted}", {"run_status": 5, "result_status": 0})
    measure(client, other, slower=9)
    finish(client, other)
    measure(client, after, slower=1.5, failed=1)
    assert "worse" not in team.owner.get(f"/runs/{after}").words
    finish(client, after)
    page = team.owner.get(f"/runs/{after}")

    assert f"p95 150 ms 50 % worse than run {before} (100 ms)" in page.words
    assert f"Failed requests 5 % worse than run {before} (0 %)" in page.words
    assert "better" not in page.words
    assert "worse" not in team.owner.get(f"/runs/{before}").words


def test_the_way_to_set_k6_up(team: Team) -> None:
    """Every snippet has this server's address; whoever has not signed in is led there first."""
    page = team.member.get("/k6")

    assert 200 == page.status
    assert 7 <= page.text.count("https://loadbell.example.org")
    assert "doesn\u2019t run the test" in page.words
    assert "/login?next=/k6" == Browser(team.site.url).get("/k6").location


@pytest.mark.parametrize("pushes", [0, 1])
def test_too_little_is_no_course(pushes: int) -> None:
    """One step makes no line."""
    measured = Measurements()
    for _ in range(pushes):
        points, period = read_protobuf(push(1_800_000_000, times=[1.0]))
        measured.merge(condense(points, (), period=period), 1_800_000_000)

    assert build_time_series(measured, build_samples(measured), ended=True) is None
    assert build_time_series(None, [], ended=True) is None


def test_each_piece_of_an_area_stands_on_the_ground() -> None:
    """The users' area is filled piece by piece: k6's first step knows of none, and one in between may be lost."""
    measured = Measurements()
    for step, vus in enumerate((None, 5, 7, None, 9, 9)):
        points, period = read_protobuf(push(1_800_000_000 + 3 * step, vus=vus or 0, times=[5.0]))
        points = [one for one in points if vus is not None or one.metric != "vus"]
        measured.merge(condense(points, (), period=period), 1_800_000_000)
    time_series = build_time_series(measured, build_samples(measured), ended=True)

    assert time_series is not None
    area = next(plot for plot in time_series.plots if plot.id == "vus").lines[0].path
    pieces = [piece.split(" L") for piece in area.split("M")[1:]]
    assert [("20 100", "40 100"), ("80 100", "100 100")] == [(one[0], one[-1].strip()) for one in pieces]


def test_what_was_not_measured_is_a_gap() -> None:
    """A line ends where nothing is known and begins anew behind it; a run without HTTP is timed by iterations."""
    measured = Measurements()
    taken: list[list[float]] = [[5.0], [], [7.0], [9.0]]
    for step, times in enumerate(taken):
        points, period = read_protobuf(push(1_800_000_000 + 3 * step, vus=1, times=times))
        points = [point for point in points if not point.metric.startswith("http")]
        measured.merge(condense(points, (), period=period), 1_800_000_000)
    time_series = build_time_series(measured, build_samples(measured), ended=True)

    assert time_series is not None
    assert "Iteration time" == time_series.timed
    timed = next(plot for plot in time_series.plots if plot.id == "times")
    assert 2 == timed.lines[1].path.count("M")
    assert ["times", "vus"] == [plot.id for plot in time_series.plots]


def test_a_run_that_turns_to_http(team: Team) -> None:
    """Times of iterations from before the first request are not shown as response times."""
    client = team.client()
    run = begin(client)
    began = now() - 12
    client.ok("POST", f"//v2/metrics/{run}", push(began, vus=1, times=[7000.0] * 5, http=False))
    for step in (1, 2, 3):
        client.ok("POST", f"//v2/metrics/{run}", push(began + 3 * step, vus=1, times=[100.0] * 5))
    page = team.owner.get(f"/runs/{run}")

    assert "Between 100 ms and 100 ms, last 100 ms." in page.words
    assert re.search(r"p99, ms \S+ \u2013 \u2013 \u2013 \S+ 100 100 100", page.words)


def test_a_course_that_grows_wider_is_whole(team: Team) -> None:
    """When the slots are used up they are merged, in the database as in memory: every request is in it once."""
    client = team.client()
    run = begin(client)
    began = now() - 3000
    for step in range(300):
        client.ok("POST", f"//v2/metrics/{run}", push(began + 9 * step, times=[100.0] * 9))
    finish(client, run)
    page = team.owner.get(f"/runs/{run}")
    rates = re.findall(
        r"<tr><th scope=\"row\">.*?</tr>", page.markup.partition("Load as a table")[2].partition("</table>")[0]
    )

    assert "one row per 12 s" in page.words
    assert len(rates) in {225, 226}  # as the first moment lies in its slot
    total = sum(float(re.findall(r'class="num">([^<]*)<', row)[1]) for row in rates)
    assert pytest.approx(2700, rel=0.01) == total * 12


def test_bars_are_stacked_from_the_ground() -> None:
    """Each outcome as high as its share of the scale, on top of the one before; nothing is drawn for none."""
    chart = build_bar_chart([Bucket(0), Bucket(1, delivered=4, failed=2), Bucket(2, pending=1, cancelled=7)])

    assert chart.top == "10"
    assert [(x, bucket.at, bars) for x, bucket, bars in chart.columns] == [
        (3.33, 0, []),
        (36.67, 1, [Bar("delivered", 61.6, 38.4), Bar("failed", 42.4, 19.2)]),
        (70.0, 2, [Bar("pending", 90.4, 9.6), Bar("cancelled", 23.2, 67.2)]),
    ]
    assert chart.bar_width == 26.67


@pytest.mark.parametrize(
    ("count", "top"), [(0, "4"), (3, "5"), (21, "25"), (26, "50"), (1_000, "1,000"), (1_001, "2,000")]
)
def test_a_scale_of_counts_is_whole(count: int, top: str) -> None:
    """It ends at a whole number that reads well, from the greatest count on."""
    assert build_bar_chart([Bucket(0, delivered=count)]).top == top
