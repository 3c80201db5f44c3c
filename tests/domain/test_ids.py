"""Version 7 UUIDs and instants."""

import random
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.ids import SECOND, from_datetime, new_uuid, parse_uuid, rfc3339, to_datetime

INSTANTS = st.integers(0, 4_000_000_000 * SECOND)


@given(now=INSTANTS, random_bits=st.binary(min_size=8, max_size=8))
def test_an_id_is_a_version_7_uuid_of_its_millisecond(now: int, random_bits: bytes) -> None:
    """RFC 9562: version 7, its variant, the milliseconds since the epoch in the first 48 bits, 62 random ones last."""
    made = new_uuid(now, lambda count: random_bits[:count])

    assert (7, uuid.RFC_4122) == (made.version, made.variant)
    assert now // 1000 == made.int >> 80
    assert int.from_bytes(random_bits, "big") % 2**62 == made.int % 2**62


@pytest.mark.parametrize(
    ("microseconds", "expected"),
    [
        (0, "017f22e2-79b0-7000-98c4-dc0c0c07398f"),
        (500, "017f22e2-79b0-7800-98c4-dc0c0c07398f"),
        (999, "017f22e2-79b0-7ffb-98c4-dc0c0c07398f"),
    ],
)
def test_the_example_of_the_standard(microseconds: int, expected: str) -> None:
    """RFC 9562 appendix A.6, with the fraction of the millisecond where the example has random bits."""
    random_bits = 0x18C4DC0C0C07398F.to_bytes(8, "big")
    made = new_uuid(1_645_557_742_000 * 1000 + microseconds, lambda _: random_bits)

    assert expected == str(made)


@given(first=INSTANTS, gap=st.integers(1, 10**12), seed=st.integers())
def test_a_later_id_sorts_later(first: int, gap: int, seed: int) -> None:
    """Ids made a microsecond or more apart sort by age, as values and as text."""
    chance = random.Random(seed)
    earlier, later = new_uuid(first, chance.randbytes), new_uuid(first + gap, chance.randbytes)

    assert earlier < later
    assert str(earlier) < str(later)


def test_ids_of_one_instant_differ() -> None:
    """100,000 ids of the same millisecond are all different."""
    chance = random.Random(1)

    assert 100_000 == len({new_uuid(SECOND, chance.randbytes) for _ in range(100_000)})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f ",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4-dc0c0c0739\u0668f",
    ],
)
def test_only_the_canonical_spelling_is_an_id(text: str) -> None:
    """What merely resembles a UUID is none."""
    assert parse_uuid(text) is None


def test_an_id_is_read_in_either_case() -> None:
    """Upper and lower case name the same."""
    text = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F"

    assert uuid.UUID(text) == parse_uuid(text) == parse_uuid(text.lower())


@given(instant=INSTANTS)
def test_an_instant_survives_the_way_to_a_datetime_and_back(instant: int) -> None:
    """No microsecond is lost."""
    found = from_datetime(to_datetime(instant))

    assert (int, instant) == (type(found), found)


def test_an_instant_is_written_in_utc() -> None:
    """RFC 3339 with milliseconds and Z, whatever zone it came from."""
    moment = datetime(2026, 11, 23, 5, 5, 6, 789_999, tzinfo=timezone(timedelta(hours=1)))

    assert "2026-11-23T04:05:06.789Z" == rfc3339(from_datetime(moment))
    assert "2026-11-23T04:05:06.000Z" == rfc3339(from_datetime(datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)))


def test_a_moment_without_a_zone_is_no_instant() -> None:
    """Nobody's local time is guessed."""
    with pytest.raises(ValueError, match="time zone"):
        from_datetime(datetime(2026, 11, 23))  # noqa: DTZ001 - what is refused
