import re

import pytest

from loadbell.client.limits import Limit

METRICS = {"duration_s": 12.5, "exit_code": 1, "failed_rate": 0.02, "p95_ms": 800, "grpc_p95_ms": 90}


@pytest.mark.parametrize(
    ("text", "expression", "ok"),
    [
        ("duration_s > 10", "duration_s <= 10", False),
        ("duration_s>=12.5", "duration_s < 12.5", False),
        (" duration_s < 10 ", "duration_s >= 10", True),
        ("duration_s <= 13", "duration_s > 13", False),
        ("exit_code == 1", "exit_code != 1", False),
        ("exit_code != 1", "exit_code == 1", True),
        ("duration_s > 1300%", "duration_s <= 1300%", True),
        ("duration_s > -1", "duration_s <= -1", False),
        ("duration_s > 10m", "duration_s <= 10m", True),
        ("failed_rate > 1%", "failed_rate <= 1%", False),
        ("failed_rate > 0.05", "failed_rate <= 0.05", True),
        ("failed_rate >= 1", "failed_rate < 1", True),
        ("p95_ms > 500", "p95_ms <= 500", False),
        ("p95_ms > 1s", "p95_ms <= 1s", True),
        ("grpc_p95_ms > 80 ms", "grpc_p95_ms <= 80ms", False),
    ],
)
def test_judging(text: str, expression: str, ok: bool) -> None:
    """A limit is reported as what has to hold, with whether it did and the value that it was judged by."""
    limit = Limit.parse(text)

    assert {"expression": expression, "ok": ok, "value": METRICS[limit.name]} == limit.judge(METRICS)


@pytest.mark.parametrize(
    "text", ["", "duration_s", "duration_s > ", "> 3", "duration_s > ten", "duration_s => 3", "duration_s > 1e3"]
)
def test_what_is_no_limit(text: str) -> None:
    """Anything but NAME OP NUMBER is refused with an example of the form."""
    with pytest.raises(ValueError, match="isn't of the form NAME OP NUMBER"):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "error_rate > 1%",
            "'error_rate' isn't a known metric; known metrics: duration_s, exit_code, requests",
        ),
        ("failed_rate > 5", "failed_rate is a share from 0 to 1; for percent, write 5%"),
        ("p95_ms > 5kB", "'kB' isn't a unit of p95_ms"),
        ("requests > 5s", "'s' isn't a unit of requests"),
        ("requests_per_s > 5s", "'s' isn't a unit of requests_per_s"),
    ],
)
def test_a_limit_that_could_never_be_judged(text: str, message: str) -> None:
    """An unknown metric, a unit that is not its own and a share over one are refused, with the reason."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Limit.parse(text)


def test_a_figure_that_is_missing() -> None:
    """A limit on what was not measured has no verdict."""
    assert Limit.parse("p99_ms > 5").judge(METRICS) is None
