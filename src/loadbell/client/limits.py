"""
The limits that a user states with ``--fail-if``: ``NAME OP NUMBER[%]``, such as ``duration_s > 600``.

They make a verdict for tools whose exit code is none: a limit that fires makes the run failed, and a run that came to
its end with all of its limits kept has passed.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

METRICS = ("duration_s", "exit_code")
"""What ``wrap`` itself can measure of any tool."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_FORM = re.compile(r"([A-Za-z_]\w*)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*(%?)", re.ASCII)


@dataclass(frozen=True)
class Limit:
    """One ``--fail-if``: the run has failed if ``name`` compares so with ``number``."""

    name: str
    compare: str
    number: float
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """The limit that ``text`` states.

        Raises:
            ValueError: it is not of the form, or names a metric that wrap does not measure; the message says which.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not of the form NAME OP NUMBER, such as 'duration_s > 600'")
        name, compare, number, unit = match.groups()
        if name not in METRICS:
            raise ValueError(f"{name!r} is not a metric that wrap measures; it measures {' and '.join(METRICS)}")
        return cls(name, compare, float(number), unit)

    def judge(self, metrics: Mapping[str, float]) -> dict[str, object]:
        """The limit as a threshold of the API: what has to hold, whether it did, and the value it was judged by."""
        value = metrics[self.name]
        limit = self.number / 100 if self.unit else self.number
        return {
            "expression": f"{self.name} {_OPPOSITE[self.compare]} {self.number:g}{self.unit}",
            "ok": not _COMPARE[self.compare](value, limit),
            "value": value,
        }
