"""
The known metrics of a run: names, labels, formats, and how two runs compare.

Sources may report other names, too; those are shown as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

VUS = "vus"  #: the maximum of virtual users at once
REQUESTS = "requests"  #: HTTP requests in all
REQUEST_RATE = "requests_per_s"
FAILED_RATE = "failed_rate"  #: of the requests, from 0 to 1
MEDIAN = "p50_ms"  #: of the response times of HTTP requests
P95 = "p95_ms"
P99 = "p99_ms"
GRPC_REQUESTS = "grpc_requests"
GRPC_REQUEST_RATE = "grpc_requests_per_s"
GRPC_MEDIAN = "grpc_p50_ms"  #: of the response times of gRPC requests
GRPC_P95 = "grpc_p95_ms"
GRPC_P99 = "grpc_p99_ms"
WS_SESSIONS = "ws_sessions"
WS_CONNECTING_P95 = "ws_connecting_p95_ms"  #: of the times until a WebSocket was open
WS_MEDIAN = "ws_p50_ms"  #: of the times that WebSocket sessions lasted
WS_P95 = "ws_p95_ms"
WS_MESSAGES_SENT = "ws_messages_sent"
WS_MESSAGES_RECEIVED = "ws_messages_received"
ITERATION_MEDIAN = "iteration_p50_ms"
ITERATION_P95 = "iteration_p95_ms"
ITERATION_P99 = "iteration_p99_ms"
ITERATIONS = "iterations"
CHECKS_RATE = "checks_rate"  #: the share of checks that passed, from 0 to 1
RECEIVED = "data_received_bytes"
SENT = "data_sent_bytes"
LEFT_OUT = "values_left_out"  #: values that can't be counted, or for which there was no room

TOLERANCE = 0.01
"""A relative change up to this (1 %) counts as unchanged."""

_KIB = 1024
_EXACT_BELOW = 100


@dataclass(frozen=True)
class Comparison:
    """A metric of a run compared with an earlier run of the same test. Less is better for all that are compared."""

    name: str
    value: str
    earlier: str
    change: float | None  #: relative: 0.12 for 12 % more; None: the earlier value was 0
    better: bool | None  #: None: about the same

    @property
    def label(self) -> str:
        """The label for people."""
        return metric_label(self.name)

    @property
    def description(self) -> str:
        """How it compares: "12 % worse", "8 % better", "no better or worse"; "than …" may follow."""
        if self.better is None:
            return "no better or worse"
        word = "better" if self.better else "worse"
        return word if self.change is None else f"{abs(self.change) * 100:.0f} % {word}"


def is_known_metric(name: str) -> bool:
    """Whether ``name`` is one of the metrics above."""
    return name in _KNOWN


def metric_label(name: str) -> str:
    """The label of the metric ``name``."""
    return _KNOWN[name][0] if name in _KNOWN else name


def format_metric(name: str, value: float) -> str:
    """The value of the metric ``name`` with its unit: "812 ms", "0.3 %", "1.5 MiB"."""
    return _KNOWN[name][1](value) if name in _KNOWN else format_number(value)


def compare_metrics(now: Mapping[str, float], earlier: Mapping[str, float]) -> list[Comparison]:
    """Compares two runs of a test by p95 and failed requests, as far as both have them.

    The p95 is that of the requests, or of the iterations if there are no requests.
    """
    found = []
    requested = P95 in now or GRPC_P95 in now
    for name in (P95, GRPC_P95, FAILED_RATE) if requested else (ITERATION_P95, FAILED_RATE):
        if name not in now or name not in earlier:
            continue
        value, former = now[name], earlier[name]
        change = (value - former) / former if former else None
        same = value == former if change is None else abs(change) <= TOLERANCE
        better = None if same else value < former
        found.append(Comparison(name, format_metric(name, value), format_metric(name, former), change, better))
    return found


def format_number(value: float) -> str:
    """A number with six digits, or all before the point if those are more: "812.25", "1234567"."""
    return f"{value:.0f}" if 10**5 <= abs(value) < 10**15 else f"{value:g}"


def format_milliseconds(value: float) -> str:
    """A time in ms with three digits or whole: "4.21 ms", "812 ms", "12,400 ms"."""
    return f"{value:,.0f} ms" if abs(value) >= _EXACT_BELOW else f"{value:.3g} ms"


def _format_percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _format_count(value: float) -> str:
    return f"{value:,.0f}"


def _format_rate(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _EXACT_BELOW else f"{value:.3g}"


def _format_bytes(value: float) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    at = 0
    while abs(value) >= _KIB and at < len(units) - 1:
        value, at = value / _KIB, at + 1
    return f"{value:.0f} {units[at]}" if at == 0 or abs(value) >= _EXACT_BELOW else f"{value:.3g} {units[at]}"


_KNOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    VUS: ("VUs", _format_count),
    REQUESTS: ("Requests", _format_count),
    REQUEST_RATE: ("Requests/s", _format_rate),
    FAILED_RATE: ("Failed requests", _format_percent),
    P95: ("p95", format_milliseconds),
    MEDIAN: ("p50", format_milliseconds),
    P99: ("p99", format_milliseconds),
    GRPC_REQUESTS: ("gRPC requests", _format_count),
    GRPC_REQUEST_RATE: ("gRPC requests/s", _format_rate),
    GRPC_P95: ("gRPC p95", format_milliseconds),
    GRPC_MEDIAN: ("gRPC p50", format_milliseconds),
    GRPC_P99: ("gRPC p99", format_milliseconds),
    WS_SESSIONS: ("WebSocket sessions", _format_count),
    WS_CONNECTING_P95: ("WebSocket connecting p95", format_milliseconds),
    WS_MEDIAN: ("WebSocket session p50", format_milliseconds),
    WS_P95: ("WebSocket session p95", format_milliseconds),
    WS_MESSAGES_SENT: ("WebSocket messages sent", _format_count),
    WS_MESSAGES_RECEIVED: ("WebSocket messages received", _format_count),
    ITERATION_P95: ("Iteration p95", format_milliseconds),
    ITERATION_MEDIAN: ("Iteration p50", format_milliseconds),
    ITERATION_P99: ("Iteration p99", format_milliseconds),
    ITERATIONS: ("Iterations", _format_count),
    CHECKS_RATE: ("Checks passed", _format_percent),
    RECEIVED: ("Data received", _format_bytes),
    SENT: ("Data sent", _format_bytes),
    LEFT_OUT: ("Values left out", _format_count),
}
