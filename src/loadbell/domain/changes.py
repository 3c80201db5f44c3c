"""Changes in the form of the audit log."""

from collections.abc import Callable, Mapping
from typing import Any

State = Mapping[str, Any]


def diff_fields(
    before: State, after: State, *, shown: Callable[[State], State] = lambda state: state
) -> dict[str, dict[str, Any]]:
    """The fields in which two states differ: ``{"name": {"before": …, "after": …}}``; a field may be missing in one.

    ``shown`` gives what may be told of a state. The states themselves are compared, so that a new secret shows as
    changed, though before and after look the same.
    """
    told_before, told_after = shown(before), shown(after)
    return {
        name: {"before": told_before.get(name), "after": told_after.get(name)}
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }
