"""What a refusal says: the sentence that a person reads, and what a front end takes from it."""

import pytest

from loadbell.domain.errors import Conflict, FieldError, IllegalMove, Invalid, RateLimited, Refused, Unavailable

NAME, URL = FieldError("name", "is empty"), FieldError("settings.url", "is no URL")


@pytest.mark.parametrize(
    ("errors", "sentence"), [([NAME], "name: is empty"), ([NAME, URL], "name: is empty; settings.url: is no URL")]
)
def test_each_wrong_field_is_named(errors: list[FieldError], sentence: str) -> None:
    """All that were found, in their order, each with what is wrong with it."""
    refused = Invalid(*errors)

    assert (sentence, tuple(errors)) == (str(refused), refused.errors)


def test_what_more_a_refusal_carries() -> None:
    """How long to wait, and what only the operator may read; the sentence is as it was given."""
    limited, away = RateLimited("Too many.", 5), Unavailable("The database is away.", "/data is full")

    assert ("Too many.", 5) == (str(limited), limited.wait)
    assert ("The database is away.", "/data is full") == (str(away), away.for_operator)
    assert Unavailable("x").for_operator is None
    assert all(isinstance(one, Refused) for one in (limited, away))
    assert issubclass(IllegalMove, Conflict)
