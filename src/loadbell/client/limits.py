"""
Limits of ``--fail-if``: ``NAME OP NUMBER[UNIT]``, such as ``failed_rate > 1%``.

They give a result to tools whose exit code gives none. If a limit fires, the run has failed. If the run finishes and
none fires, it has passed, provided that one of them is about requests: a command's duration or exit code proves nothing
about its requests. A limit on a metric that the tool didn't measure neither passes nor fails.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

OF_ANY_TOOL = ("duration_s", "exit_code")
"""Metrics that ``wrap`` itself measures for any command."""

OF_REQUESTS = (
    "requests", "failed", "failed_rate", "requests_per_s", "avg_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms",
    "max_ms", "iterations", "vus_max", "data_received_bytes", "data_sent_bytes", "checks_rate",
)  # fmt: skip
"""Metrics that a tool may measure, by the API's names; for other protocols than HTTP, with a prefix."""

_PROTOCOLS = ("grpc_", "ws_", "browser_")
_UNITS = {
    "_ms": {"ms": 1.0, "s": 1000.0},
    "_s": {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0},
    "_bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3},
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_FORM = re.compile(r"([A-Za-z_]\w*)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*(%|[A-Za-z]*)", re.ASCII)
_MAX_EXPRESSION_LENGTH = 200


@dataclass(frozen=True)
class Limit:
    """One ``--fail-if``: the run has failed if the comparison of ``name`` with ``number`` is true."""

    name: str
    compare: str
    number: float
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Parses ``text``.

        Raises:
            ValueError: the format, metric or unit isn't valid, or it could never fire; the message says which.
        """
        match = _FORM.fullmatch(text.strip()) if len(text) <= _MAX_EXPRESSION_LENGTH else None
        if match is None:
            raise ValueError(
                f"{text[:_MAX_EXPRESSION_LENGTH]!r} isn't of the form NAME OP NUMBER, such as 'failed_rate > 1%'"
            )
        name, compare, number, unit = match.groups()
        if name not in OF_ANY_TOOL and _without_protocol(name) not in OF_REQUESTS:
            known = ", ".join((*OF_ANY_TOOL, *OF_REQUESTS))
            raise ValueError(f"{name!r} isn't a known metric; known metrics: {known}")
        limit = cls(name, compare, float(number), unit)
        if limit._factor() is None:
            raise ValueError(f"{unit!r} isn't a unit of {name}")
        if name.endswith("_rate") and limit.bound > 1:
            raise ValueError(f"{name} is a share from 0 to 1; for percent, write {float(number):g}%")
        return limit

    @property
    def bound(self) -> float:
        """The number to compare with, in the metric's own unit."""
        return self.number * (self._factor() or 1.0)

    @property
    def is_about_requests(self) -> bool:
        """Whether it is about the system under test, not only about the command."""
        return self.name not in OF_ANY_TOOL

    @property
    def expression(self) -> str:
        """The condition that must hold."""
        return f"{self.name} {_OPPOSITE[self.compare]} {self.number:g}{self.unit}"

    def judge(self, metrics: Mapping[str, float]) -> dict[str, object] | None:
        """Returns the limit as a threshold of the API: expression, ok and value; None if it wasn't measured."""
        value = metrics.get(self.name)
        if value is None:
            return None
        return {"expression": self.expression, "ok": not _COMPARE[self.compare](value, self.bound), "value": value}

    def _factor(self) -> float | None:
        if not self.unit or self.unit == "%":
            return 0.01 if self.unit else 1.0
        ending = next((ending for ending in _UNITS if self.name.endswith(ending)), None)
        return None if ending is None or self.name.endswith("per_s") else _UNITS[ending].get(self.unit)


def _without_protocol(name: str) -> str:
    return next((name.removeprefix(protocol) for protocol in _PROTOCOLS if name.startswith(protocol)), name)
