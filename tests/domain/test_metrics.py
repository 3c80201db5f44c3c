"""Figures in words: labels, units, and how two runs of a test compare."""

import pytest

from loadbell.domain.metrics import Comparison, compare_metrics, format_metric, metric_label


@pytest.mark.parametrize(
    ("name", "value", "label", "text"),
    [
        ("vus", 200, "VUs", "200"),
        ("requests", 148_206, "Requests", "148,206"),
        ("requests_per_s", 4.1833, "Requests/s", "4.18"),
        ("requests_per_s", 2047.3, "Requests/s", "2,047"),
        ("failed_rate", 0.0042, "Failed requests", "0.42 %"),
        ("p95_ms", 812.4, "p95", "812 ms"),
        ("p50_ms", 0.1234, "p50", "0.123 ms"),
        ("p99_ms", 12_400, "p99", "12,400 ms"),
        ("data_sent_bytes", 512, "Data sent", "512 B"),
        ("data_received_bytes", 2.5 * 1024**2, "Data received", "2.5 MiB"),
        ("data_sent_bytes", 1000, "Data sent", "1000 B"),
        ("data_sent_bytes", 1024, "Data sent", "1 KiB"),
        ("data_sent_bytes", 1536, "Data sent", "1.5 KiB"),
        ("data_sent_bytes", 1000 * 1024, "Data sent", "1000 KiB"),
        ("data_received_bytes", 250 * 1024**3, "Data received", "250 GiB"),
        ("data_received_bytes", 1.25 * 1024**4, "Data received", "1.25 TiB"),
        ("data_received_bytes", 2000 * 1024**5, "Data received", "2000 PiB"),
        ("rps", 12.5, "rps", "12.5"),
    ],
)
def test_a_figure_in_words(name: str, value: float, label: str, text: str) -> None:
    """Known ones have a label and a unit, another one stays as it is."""
    assert (label, text) == (metric_label(name), format_metric(name, value))


@pytest.mark.parametrize(
    ("now", "earlier", "words"),
    [
        ({"p95_ms": 812}, {"p95_ms": 725}, ["12 % worse"]),
        ({"p95_ms": 667}, {"p95_ms": 725}, ["8 % better"]),
        ({"p95_ms": 730}, {"p95_ms": 725}, ["no better or worse"]),
        ({"failed_rate": 0.02}, {"failed_rate": 0.0}, ["worse"]),
        ({"failed_rate": 0.0}, {"failed_rate": 0.0}, ["no better or worse"]),
        ({"failed_rate": 0.0, "p95_ms": 1}, {"failed_rate": 0.1, "p95_ms": 2}, ["50 % better", "100 % better"]),
        ({"p95_ms": 101}, {"p95_ms": 100}, ["no better or worse"]),
        ({"p95_ms": 98.5}, {"p95_ms": 100}, ["2 % better"]),
        ({"iteration_p95_ms": 2}, {"iteration_p95_ms": 1}, ["100 % worse"]),
        ({"iteration_p95_ms": 2, "p95_ms": 3}, {"iteration_p95_ms": 1, "p95_ms": 6}, ["50 % better"]),
        ({"iteration_p95_ms": 2, "grpc_p95_ms": 3}, {"iteration_p95_ms": 1, "grpc_p95_ms": 6}, ["50 % better"]),
        ({"iteration_p95_ms": 2, "p95_ms": 3}, {"iteration_p95_ms": 1}, []),
        ({"p95_ms": 1}, {}, []),
        ({"requests": 1}, {"requests": 2}, []),
    ],
)
def test_two_runs_compare(now: dict[str, float], earlier: dict[str, float], words: list[str]) -> None:
    """By p95, of iterations where there are no requests, and failed requests, if both have them; 1 % is the same."""
    assert words == [comparison.description for comparison in compare_metrics(now, earlier)]


def test_a_comparison_says_what_was() -> None:
    """Both values, each with its unit."""
    assert [Comparison("p95_ms", "812 ms", "725 ms", 0.12, better=False)] == compare_metrics(
        {"p95_ms": 812}, {"p95_ms": 725}
    )
