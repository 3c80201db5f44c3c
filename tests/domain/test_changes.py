"""Changes in the form of the audit log."""

from typing import Any

import pytest

from loadbell.domain.changes import diff_fields


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": [2]}, {"a": 3, "b": [2]}, {"a": {"before": 1, "after": 3}}),
        ({"a": True}, {}, {"a": {"before": True, "after": None}}),
        ({}, {"a": ""}, {"a": {"before": None, "after": ""}}),
    ],
)
def test_only_what_differs_is_told(before: dict[str, Any], after: dict[str, Any], changes: dict[str, Any]) -> None:
    """Each field with both of its values; nothing of a field that stayed as it was."""
    assert changes == diff_fields(before, after)


def test_a_new_secret_that_looks_like_the_former_one_shows() -> None:
    """The clear values are compared, the masked ones are told."""
    masked = {"before": "…", "after": "…"}

    assert {"password": masked} == diff_fields(
        {"password": "one", "name": "n"},
        {"password": "two", "name": "n"},
        shown=lambda state: {**state, "password": "…"},
    )
