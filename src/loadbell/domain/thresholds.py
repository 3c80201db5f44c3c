"""
k6's threshold expressions and their selections of series.

The syntax is that of k6 (https://grafana.com/docs/k6/latest/using-k6/thresholds/): ``p(95) < 500`` on a metric, or on a
selection of its series, ``http_req_duration{status:200}``. k6 decides whether a threshold held; loadbell parses it to
show the value it was judged by.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Aggregation = Literal["value", "count", "rate", "avg", "min", "max", "med", "p"]

MAX_EXPRESSION_LENGTH = 200
"""Characters of an expression; a longer one isn't parsed."""

MAX_SELECTION_LENGTH = 1_000
"""Characters of a selection of series; a longer one selects nothing."""

# What follows a repeat never begins with what it repeats, so there is only one way to match a text.
_EXPRESSION = re.compile(
    r"(?:(?P<name>value|count|rate|avg|min|max|med)|p\(\s*(?P<percent>\d+(?:\.\d+)?)\s*\))"
    r"\s*(?P<operator><=|>=|===|==|!=|<|>)\s*(?P<limit>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)",
    re.ASCII,
)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "===": operator.eq,
    "!=": operator.ne,
}
_QUOTES = "\"'"


@dataclass(frozen=True)
class Criterion:
    """A parsed expression: an aggregate of a metric against a limit."""

    aggregation: Aggregation
    percent: float | None  #: of ``p``
    operator: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` passes."""
        return _OPERATORS[self.operator](value, self.limit)


@dataclass(frozen=True)
class Selection:
    """The series of one metric whose labels are these; without labels, all of them."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of the metric with ``labels`` belongs to it."""
        return all(labels.get(name) == value for name, value in self.labels)


def parse_expression(text: str) -> Criterion | None:
    """Parses an expression; None if it isn't valid."""
    found = _EXPRESSION.fullmatch(text.strip()) if len(text) <= MAX_EXPRESSION_LENGTH else None
    if found is None:
        return None
    limit, percent = float(found["limit"]), found["percent"]
    if not math.isfinite(limit):
        return None  # too large for a float
    if percent is not None:
        return Criterion("p", float(percent), found["operator"], limit)
    return Criterion(found["name"], None, found["operator"], limit)  # type: ignore[arg-type]  # one of the pattern's names


def parse_selection(text: str) -> Selection:
    """Parses the key of a threshold; one that isn't valid counts as a metric's name."""
    if len(text) > MAX_SELECTION_LENGTH:
        return Selection(text[:MAX_SELECTION_LENGTH])
    name, brace, rest = text.partition("{")
    rest = rest.strip()
    if not brace or not rest.endswith("}"):
        return Selection(text.strip())
    labels: dict[tuple[str, str], None] = {}  # each once, in order
    for pair in rest[:-1].split(","):
        label, colon, value = pair.partition(":")
        if colon:
            labels[_unquote(label), _unquote(value)] = None
    return Selection(name.strip(), tuple(labels))


def _unquote(text: str) -> str:
    return text.strip().strip(_QUOTES)
