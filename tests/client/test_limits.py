import pytest

from loadbell.client.limits import Limit

METRICS = {"duration_s": 12.5, "exit_code": 1}


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
    with pytest.raises(ValueError, match="is not of the form NAME OP NUMBER"):
        Limit.parse(text)


def test_an_unknown_metric() -> None:
    """A metric that wrap does not measure is refused, and the ones it measures are named."""
    with pytest.raises(
        ValueError, match="'error_rate' is not a metric that wrap measures; it measures duration_s and exit_code"
    ):
        Limit.parse("error_rate > 1%")
