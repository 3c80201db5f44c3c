"""Changes in the form of the audit log."""

from collections.abc import Callable, Mapping
from typing import Any

State = Mapping[str, Any]


def diff_fields(
    before: State, after: State, *, shown: Callable[[State], State] = lambda state: state
) -> dict[str, dict[str, Any]]:
    """Returns the fields in which two states differ: ``{"name": {"before": …, "after": …}}``.

    A field may be missing in one state. ``shown`` masks a state for the log; the unmasked states are compared, so a
    new secret counts as a change.
    """
    told_before, told_after = shown(before), shown(after)
    return {
        name: {"before": told_before.get(name), "after": told_after.get(name)}
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }
