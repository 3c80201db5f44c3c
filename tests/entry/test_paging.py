"""Pages and their cursors."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.errors import Invalid, NotFound
from loadbell.domain.ids import MAX_ID
from loadbell.entry.paging import PageQuery, split_page
from loadbell.entry.path_ids import check_id, parse_integer_id, parse_uuid_id


@given(st.integers(1, MAX_ID))
def test_a_cursor_leads_back_to_its_integer(number: int) -> None:
    """The cursor of a full page opens as the id of its last item, and needs no quoting in a URL."""
    page, cursor = split_page([number, 0], 1, lambda item: item)

    assert [number] == page
    assert cursor is not None
    assert set("+/=").isdisjoint(cursor)
    assert number == PageQuery(cursor=cursor).before_id()


@given(st.uuids())
def test_a_cursor_leads_back_to_its_uuid(value: UUID) -> None:
    """The same for lists of what has UUIDs; a cursor of the one is none of the other."""
    _, cursor = split_page([value, value], 1, lambda item: item)

    assert value == PageQuery(cursor=cursor).before_uuid()
    with pytest.raises(Invalid):
        PageQuery(cursor=cursor).before_id()


@given(st.text())
def test_no_text_is_more_than_refused_as_a_cursor(text: str) -> None:
    """A cursor that we did not make is Invalid, or opens as an id that could be."""
    try:
        number = PageQuery(cursor=text).before_id()
    except Invalid as refusal:
        assert ["cursor"] == [error.field for error in refusal.errors]  # noqa: PT017 - the other branch is legal too
    else:
        assert number is not None
        assert 1 <= number <= MAX_ID


def test_a_short_page_is_the_last() -> None:
    """No more items than asked for: no cursor."""
    assert ([3, 2], None) == split_page([3, 2], 2, lambda item: item)
    assert ([], None) == split_page([], 2, lambda item: item)


@pytest.mark.parametrize("text", ["0", "-1", "+1", "01", "1.0", "", " 1", "1\n", "\u0661", str(2**63), "9" * 500])
def test_what_cannot_be_an_id_is_not_found(text: str) -> None:
    """Only the one decimal form of 1 to 2**63 - 1 is an id."""
    with pytest.raises(NotFound):
        parse_integer_id(text, "run")


def test_an_id_is_itself() -> None:
    """The smallest and the largest id are read; a UUID is read in either case."""
    value = uuid4()

    assert [1, MAX_ID] == [parse_integer_id("1", "run"), parse_integer_id(str(MAX_ID), "run")]
    assert value == parse_uuid_id(str(value).upper(), "delivery")
    with pytest.raises(NotFound):
        parse_uuid_id(value.hex, "delivery")
    with pytest.raises(NotFound):
        check_id(2**63, "project")
