"""Pushes that lie, overflow or break off: a clear error in k6's form, nothing changed, and no room taken for them."""

import gzip
import json
import math
import random
import tracemalloc
from contextlib import suppress
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.measurements import condense
from loadbell.sources import k6_points
from loadbell.sources.k6_points import MAX_POINTS, MAX_PUSH_SIZE, MAX_TEXT_SIZE, BadPush, read_json
from loadbell.sources.k6_points import read_protobuf as points_of
from tests.api.site import ApiSite
from tests.sources.recordings import NAMES, recording
from tests.sources.test_k6_api import create, error, k6, now
from tests.support.k6_pushes import compress, empty, push, trend

GOOD = push(1_800_000_000, times=[1.0, 2.0])
MIB = 2**20


def with_one(*, kind: str = "trend", name: str = "m", **value: Any) -> bytes:
    """A push of three requests in which another value stands, too."""
    said = empty()
    if kind == "trend":
        _histogram(said, **value)
    else:
        samples = getattr(said.metrics.add(name=name).time_series.add(), f"{kind}_samples")
        samples.values.add(**{"time": {"seconds": now()}, **value})
    counted = said.metrics.add(name="http_reqs").time_series.add()
    counted.counter_samples.values.add(time={"seconds": now()}, value=3)
    return compress(said)


def _histogram(said: Any, **changes: Any) -> None:
    sample = trend(said.metrics.add(name="http_req_duration").time_series.add(), 1_800_000_000, [1.0, 2.0, 300.0])
    for name, value in changes.items():
        if name == "spans":
            del sample.spans[:]
            for offset, length in value:
                sample.spans.add(offset=offset, length=length)
        elif name == "counters":
            del sample.counters[:]
            sample.counters.extend(value)
        else:
            setattr(sample, name, value)


def length_said(size: int) -> bytes:
    """A snappy block that says it is so long."""
    out = bytearray()
    while size >= 128:
        out.append(size % 128 + 128)
        size //= 128
    return bytes([*out, size]) + b"\x00a"


BROKEN = {
    "nothing": b"",
    "noise": random.Random(6).randbytes(5000),
    "cut": GOOD[:-5],
    "cut to its head": GOOD[:1],
    "framed": bytes(cramjam.snappy.compress(b"x" * 100)),
    "not packed": b"\x0a\x04name",
    "a bomb": length_said(2**32 - 1),
    "larger than a push may be": bytes(cramjam.snappy.compress_raw(b"\x0a" * (MAX_PUSH_SIZE + 1))),
    "no protobuf": bytes(cramjam.snappy.compress_raw(b"\xff" * 100)),
    "a text that is a number": bytes(cramjam.snappy.compress_raw(b"\x1a\x02\x08\x01" + b"\x0a")),
    "no UTF-8": bytes(cramjam.snappy.compress_raw(b"\x1a\x04\x0a\x02\xff\xfe")),
    "millions of metrics": bytes(cramjam.snappy.compress_raw(b"\x1a\x03\x0a\x01m" * 1_000_000)),
    "millions of series": bytes(cramjam.snappy.compress_raw(b"\x1a\x83\x89\x7a\x0a\x01m" + b"\x1a\x00" * 1_000_000)),
}

UNCOUNTABLE: dict[str, dict[str, Any]] = {
    "no name": {"name": "", "kind": "counter", "value": 1.0},
    "NaN": {"kind": "counter", "value": math.nan},
    "infinity": {"kind": "counter", "value": math.inf},
    "below zero": {"kind": "counter", "value": -1.0},
    "beyond 2 to the 53": {"kind": "counter", "value": 2.0**53 + 2},
    "less than infinity": {"kind": "gauge", "last": 1.0, "min": -math.inf, "max": 1.0},
    "a gauge that is infinite": {"kind": "gauge", "last": math.inf, "min": 1.0, "max": math.inf},
    "too large to count": {"kind": "counter", "value": 1e300},
    "more failures than requests": {"kind": "rate", "nonzero_count": 5, "total_count": 4},
    "before time": {"kind": "counter", "value": 1.0, "time": {"seconds": -5}},
    "after time": {"kind": "counter", "value": 1.0, "time": {"seconds": 2**62}},
    "histogram of NaN": {"sum": math.nan},
    "histogram of infinity": {"max": math.inf},
    "histogram of another resolution": {"min_resolution": 0.5},
    "histogram of no resolution": {"min_resolution": 0.0},
    "histogram that counts otherwise": {"count": 99},
    "histogram with too few counters": {"spans": [(0, 2**31)]},
    "histogram with buckets beyond reason": {"spans": [(2**32 - 1, 3)]},
    "histogram of gaps": {"spans": [(0, 0)] * 20_000},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_push_is_told(still_site: ApiSite, case: str) -> None:
    """The message says what is wrong with it; the run is as it was, and takes the next push."""
    client = k6(still_site)
    run = create(client)
    before = get_measurements(still_site, run)
    status, code, message = error(client.call("POST", f"//v2/metrics/{run}", BROKEN[case]))

    assert (422, 0) == (status, code)
    assert message.strip()
    assert before == get_measurements(still_site, run)
    assert 200 == client.call("POST", f"//v2/metrics/{run}", push(now(), times=[1.0])).status


def get_measurements(site: ApiSite, run: int) -> Any:
    """What is stored, but when something was last heard of the run."""
    contents = site.contents()
    del contents["runs"]
    return contents, site.client.ok("GET", f"/runs/{run}")


@pytest.mark.parametrize("case", UNCOUNTABLE)
def test_a_value_that_can_not_be_counted_is_left_out(still_site: ApiSite, case: str) -> None:
    """The rest of its push is taken, and the run says how many values were left out."""
    client = k6(still_site)
    run = create(client)
    assert 200 == client.call("POST", f"//v2/metrics/{run}", with_one(**UNCOUNTABLE[case])).status
    assert 200 == client.call("POST", f"//v2/metrics/{run}", with_one(**UNCOUNTABLE[case])).status
    metrics = still_site.client.ok("GET", f"/runs/{run}")["metrics"]

    assert (6, 2) == (metrics["requests"], metrics["values_left_out"])


@pytest.mark.parametrize("version", [1, 2])
def test_a_refused_push_is_a_sign_of_life(still_site: ApiSite, version: int) -> None:
    """The watchdog hears it; whoever was asked to stop is told so; another organization's push is none."""
    client = k6(still_site)
    run = create(client)
    address = f"//v{version}/metrics/{run}"
    still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id", id=run)
    assert 404 == k6(still_site, still_site.theirs.token).call("POST", address, b"noise").status
    assert 0 == still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id AND last_report_at > 1", id=run)
    for body, status in ((b"noise", 422), (b"x" * (9 * MIB), 413)):
        assert status == client.call("POST", address, body).status
        heard = still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id AND last_report_at > 1", id=run)
        assert 1 == heard
    still_site.client.ok("POST", f"/runs/{run}/abort")

    assert (403, 4) == error(client.call("POST", address, b"noise"))[:2]


SAMPLE = {"type": "Point", "metric": "m", "data": {"time": "1800000000000000", "type": "counter", "value": 1}}
BROKEN_JSON = {
    "not packed": json.dumps([SAMPLE]).encode(),
    "cut": gzip.compress(json.dumps([SAMPLE] * 100).encode())[:-20],
    "a bomb": gzip.compress(b" " * (50 * MIB)),
    "no JSON": gzip.compress(b"[{"),
    "no list": gzip.compress(b"{}"),
    "no UTF-8": gzip.compress(b'["\xff"]'),
    "nested": gzip.compress(b"[" * 100_000),
    "NaN in the middle of nothing": gzip.compress(json.dumps([SAMPLE]).replace('"value": 1', "NaN").encode()),
    "a number for a name": gzip.compress(json.dumps([SAMPLE]).replace('"m"', "1e400").encode()),
    "a number for a sample": gzip.compress(f"[{json.dumps(SAMPLE)}, 1e400]".encode()),
    "too many": gzip.compress(json.dumps([SAMPLE] * (MAX_POINTS + 1)).encode()),
}


@pytest.mark.parametrize("case", BROKEN_JSON)
def test_a_broken_push_of_the_first_version_is_told(still_site: ApiSite, case: str) -> None:
    """As one of the second."""
    client = k6(still_site)
    run = create(client)
    before = get_measurements(still_site, run)

    assert 422 == error(client.call("POST", f"//v1/metrics/{run}", BROKEN_JSON[case]))[0]
    assert before == get_measurements(still_site, run)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("1800000000000000", "soon"),
        ("1800000000000000", "9" * 400),
        ("1800000000000000", "9" * 5000),
        ("1800000000000000", "\u0661" * 16),
        ("counter", "fax"),
        ('"value": 1', '"value": -1'),
        ('"value": 1', '"value": 1e300'),
        *(
            (at, f"{at.partition(':')[0]}: {number}")
            for at in ('"value": 1', '"time": "1800000000000000"')
            for number in ("1e400", "-1e400", "9" * 400, "-" + "9" * 5000, "9" * 400 + ".5", "NaN", "+Inf", "-Infinity")
        ),
        ('"value": 1', '"value":+Inf'),
        ('"value": 1', '"values": {"a": 1e400}'),
        ('"value": 1', '"values": {"a": {"min": 1e400, "max": -1e400}}'),
        ('"value": 1', '"values": {"a": null}'),
    ],
)
def test_a_sample_of_the_first_version_that_can_not_be_counted(still_site: ApiSite, part: str, instead: str) -> None:
    """It is left out, and the rest is taken."""
    client = k6(still_site)
    run = create(client)
    samples = [json.dumps(SAMPLE).replace(part, instead), json.dumps({**SAMPLE, "metric": "http_reqs"})]
    assert 200 == client.call("POST", f"//v1/metrics/{run}", gzip.compress(f"[{','.join(samples)}]".encode())).status
    metrics = still_site.client.ok("GET", f"/runs/{run}")["metrics"]

    assert (1, 1) == (metrics["requests"], metrics["values_left_out"])


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "NaN", "-Inf"])
def test_a_number_that_nobody_reads_takes_nothing_away(still_site: ApiSite, number: str) -> None:
    """In a tag or an unknown field of a sample of the first version, it is passed over."""
    client = k6(still_site)
    run = create(client)
    said = {"tags": {"a": "NaN:NaN", "b": "N"}, "count": "N", "more": {"deep": ["N", {"x": "N"}]}}
    sample = json.dumps({**SAMPLE, "metric": "http_reqs", "data": SAMPLE["data"] | said, "else": "N"})  # type: ignore[operator]  # a dict
    body = gzip.compress(f"[{sample}]".replace('["N"', '["more", {"x": "N"}').replace('"N"', number).encode())
    assert 200 == client.call("POST", f"//v1/metrics/{run}", body).status
    metrics = still_site.client.ok("GET", f"/runs/{run}")["metrics"]

    assert (1, False) == (metrics["requests"], "values_left_out" in metrics)


@pytest.mark.parametrize(("room", "status"), [(True, 200), (False, 422)])
def test_a_push_with_uncountable_values_is_a_sign_of_life(still_site: ApiSite, room: bool, status: int) -> None:
    """However many there are, and where the run has no room for their figures, too, the watchdog hears the push."""
    client = k6(still_site)
    run = create(client)
    if not room:
        still_site.client.ok("PATCH", f"/runs/{run}", {"metrics": {f"m{number}": 1 for number in range(200)}})
    still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id", id=run)
    sample = json.dumps(SAMPLE).replace('"value": 1', '"value": 1e400')
    body = gzip.compress(f"[{','.join([sample] * MAX_POINTS)}]".encode())

    assert status == client.call("POST", f"//v1/metrics/{run}", body).status
    assert 1 == still_site.sql("UPDATE runs SET last_report_at = 1 WHERE id = :id AND last_report_at > 1", id=run)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400])
def test_no_test_fails_over_a_number_that_nobody_reads(still_site: ApiSite, number: str) -> None:
    """Announced and ended with it: the thresholds that can be read count, U+0000 in a name too."""
    client = k6(still_site)
    criteria = f'["p(95)<500", {{"threshold": "avg<400", "delay": {number}}}, [5], 6]'
    text = f'{{"name": "n", "vus": {number}, "thresholds": {{"m\\u0000": {criteria}}}, "more": [{{"x": {number}}}]}}'
    run = int(client.ok("POST", "//v1/tests", text.encode())["reference_id"])
    verdicts = '{"m\\u0000": {"p(95)<500": false, "avg<400": true}}'
    end = f'{{"run_status": 3, "result_status": 1, "thresholds": {verdicts}, "more": {number}}}'
    client.ok("POST", f"//v1/tests/{run}", end.encode())
    found = still_site.client.ok("GET", f"/runs/{run}")

    assert ("n", 12) == (found["name"], found["status"])
    assert ["m\ufffd: p(95)<500", "m\ufffd: avg<400"] == [one["expression"] for one in found["thresholds"]]
    assert error(client.call("POST", "//v1/tests", f'{{"project_id": {number}}}'.encode()))[0] in {404, 422}


def test_a_push_that_is_too_long_is_not_read(still_site: ApiSite) -> None:
    """Over 8 MiB it is refused; without a good token nothing of it is read at all."""
    client = k6(still_site)
    run = create(client)

    assert 413 == error(client.call("POST", f"//v2/metrics/{run}", b"x" * (9 * MIB)))[0]
    assert 401 == error(k6(still_site, "lb_wrong").call("POST", f"//v2/metrics/{run}", b"x" * MIB))[0]


def test_100_000_series(still_site: ApiSite) -> None:
    """In pushes of a size that is taken they are added up; in one that is larger they are told what to do."""
    client = k6(still_site)
    run = create(client)

    def many(count: int) -> bytes:
        said = empty()
        metric = said.metrics.add(name="http_reqs")
        for number in range(count):
            series = metric.time_series.add()
            series.labels.add(name="url", value=f"/{number}")
            series.counter_samples.values.add(time={"seconds": now()}, value=1)
        return compress(said)

    status, _, message = error(client.call("POST", f"//v2/metrics/{run}", many(100_000)))
    for _ in range(10):
        client.ok("POST", f"//v2/metrics/{run}", many(10_000))

    assert (422, True) == (status, "K6_CLOUD_MAX_TIME_SERIES_IN_BATCH" in message)
    assert 100_000 == still_site.client.ok("GET", f"/runs/{run}")["metrics"]["requests"]


def test_names_that_no_text_can_hold(still_site: ApiSite) -> None:
    """A check may be called anything; the note that names it can be kept, and shows it."""
    client = k6(still_site)
    run = create(client)
    checks = {"a\x00b": (0, 1), "x" * 100_000: (0, 1), "\U0001f514": (0, 1)}
    client.ok("POST", f"//v2/metrics/{run}", push(now(), times=[1.0], checks=checks))
    client.ok("POST", f"//v1/tests/{run}", {"run_status": 3, "result_status": 0})
    note = still_site.client.ok("GET", f"/runs/{run}")["note"]

    assert "a\ufffdb (1 of 1)" in note
    assert "🔔" in note
    assert len(note) < 1000


@given(st.binary(max_size=300))
def test_noise_is_never_more_than_a_bad_push(noise: bytes) -> None:
    """Whatever bytes come, as they are or behind snappy and gzip: points, or a BadPush."""
    for read, data in (
        (points_of, noise),
        (points_of, bytes(cramjam.snappy.compress_raw(noise))),
        (read_json, noise),
        (read_json, gzip.compress(noise)),
    ):
        with suppress(BadPush):
            assert read(data) is not None


@given(st.data())
def test_a_push_with_flipped_bits_is_never_more_than_a_bad_push(data: st.DataObject) -> None:
    """Real pushes, damaged anywhere behind snappy: what can still be read can also be condensed."""
    name = data.draw(st.sampled_from([name for name in NAMES if name.startswith("v2-run")]))
    pushes = [body for version, body in recording(name).pushes if version == 2]
    if not pushes:
        return
    damaged = bytearray(k6_points._decompress_snappy(pushes[0]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        points, period = points_of(bytes(cramjam.snappy.compress_raw(bytes(damaged))))
    except BadPush:
        return

    assert len(condense(points, (), period=period).buckets) <= 240


@pytest.mark.parametrize(
    ("read", "sent"),
    [
        (points_of, BROKEN["a bomb"]),
        (points_of, BROKEN["larger than a push may be"]),
        (read_json, BROKEN_JSON["a bomb"]),
        (read_json, gzip.compress(b"[" + b"{}," * (MAX_TEXT_SIZE // 3))),
        (read_json, BROKEN_JSON["too many"]),
    ],
    ids=["snappy bomb", "large snappy", "gzip bomb", "many objects", "many samples"],
)
def test_what_is_refused_takes_little_memory(read: Any, sent: bytes) -> None:
    """No more than some tens of MiB, however large it would be."""
    tracemalloc.start()
    try:
        with pytest.raises(BadPush):
            read(sent)
        assert tracemalloc.get_traced_memory()[1] < 80 * MIB
    finally:
        tracemalloc.stop()
