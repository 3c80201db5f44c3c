"""
k6's threshold expressions: what they ask, and of which series.

The syntax is that of k6 (https://grafana.com/docs/k6/latest/using-k6/thresholds/): ``p(95) < 500`` on a metric, or on a
selection of its series, ``http_req_duration{status:200}``. Whether a threshold held is k6's to say; here it is read so
that the value can be named by which it was judged.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Aggregation = Literal["value", "count", "rate", "avg", "min", "max", "med", "p"]

MAX_EXPRESSION_LENGTH = 200
"""Characters of an expression that are understood; one that is longer is not even looked at."""

MAX_SELECTION_LENGTH = 1_000
"""Characters of a selection of series that are understood; one that is longer selects nothing."""

# What may follow a repeat never begins with what it repeats, so that there is only one way to read a text.
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
    """What an expression asks of a metric: an aggregate of it against a limit."""

    aggregation: Aggregation
    percent: float | None  #: of ``p``
    operator: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` is what the expression asks for."""
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
    """What the expression asks; None if it is none that is known here."""
    found = _EXPRESSION.fullmatch(text.strip()) if len(text) <= MAX_EXPRESSION_LENGTH else None
    if found is None:
        return None
    limit, percent = float(found["limit"]), found["percent"]
    if not math.isfinite(limit):
        return None  # of more digits than a number has
    if percent is not None:
        return Criterion("p", float(percent), found["operator"], limit)
    return Criterion(found["name"], None, found["operator"], limit)  # type: ignore[arg-type]  # one of the pattern's names


def parse_selection(text: str) -> Selection:
    """The series that the key of a threshold names; a key that can't be read names a metric of that name."""
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
