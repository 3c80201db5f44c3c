"""Which signing secrets of a channel are live, and what a rotation does to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.domain.channels import MAX_SECRETS, SigningSecret, live_secrets, rotate_secrets
from loadbell.domain.errors import Conflict
from loadbell.domain.ids import SECOND

NOW = 1_800_000_000 * SECOND


def test_the_former_secret_stays_live_until_the_overlap_is_over() -> None:
    """After a rotation the new secret comes first, and the former one is live until its end, not at it."""
    secrets = rotate_secrets([SigningSecret("old")], "new", until=NOW + 10, now=NOW)

    assert ["new", "old"] == [signing_secret.secret for signing_secret in live_secrets(secrets, NOW + 9)]
    assert ["new"] == [signing_secret.secret for signing_secret in live_secrets(secrets, NOW + 10)]


def test_a_rotation_drops_what_has_expired() -> None:
    """An expired secret is not kept any longer."""
    stored = [SigningSecret("b"), SigningSecret("a", NOW)]

    assert (SigningSecret("c"), SigningSecret("b", NOW + 1)) == rotate_secrets(stored, "c", until=NOW + 1, now=NOW)


def test_an_overlap_only_shortens() -> None:
    """A former secret ends when it was said to, or earlier; with no overlap only the new one is left."""
    stored = rotate_secrets([SigningSecret("a")], "b", until=NOW + 100, now=NOW)

    longer = rotate_secrets(stored, "c", until=NOW + 500, now=NOW)
    assert [None, NOW + 500, NOW + 100] == [signing_secret.expires_at for signing_secret in longer]
    shorter = rotate_secrets(stored, "c", until=NOW + 50, now=NOW)
    assert [None, NOW + 50, NOW + 50] == [signing_secret.expires_at for signing_secret in shorter]
    assert (SigningSecret("c"),) == rotate_secrets(stored, "c", until=NOW, now=NOW)


@given(st.lists(st.integers(0, 200), max_size=12))
def test_there_are_never_more_than_the_limit(overlaps: list[int]) -> None:
    """However often and with whatever overlap it is rotated, at most five are live, and a refusal changes nothing."""
    secrets: tuple[SigningSecret, ...] = (SigningSecret("0"),)
    for step, overlap in enumerate(overlaps, 1):
        now = NOW + step * 10
        live = live_secrets(secrets, now)
        try:
            secrets = rotate_secrets(secrets, str(step), until=now + overlap, now=now)
        except Conflict:
            assert MAX_SECRETS == len(live)
        else:
            assert str(step) == secrets[0].secret
            assert len(live_secrets(secrets, now)) <= MAX_SECRETS


def test_a_secret_is_not_shown() -> None:
    """Its repr, which could land in a log, does not hold it."""
    assert "whsec_x" not in repr(SigningSecret("whsec_x"))


def test_the_limit_is_refused_with_a_way_out() -> None:
    """A sixth live secret is refused, and the sentence says what to do."""
    secrets: tuple[SigningSecret, ...] = (SigningSecret("0"),)
    for number in range(1, MAX_SECRETS):
        secrets = rotate_secrets(secrets, str(number), until=NOW + 1000, now=NOW)

    with pytest.raises(Conflict, match=r"5 active signing secrets.*\. Wait until .*, or rotate .* at once\.$"):
        rotate_secrets(secrets, "5", until=NOW + 1000, now=NOW)
    assert (SigningSecret("5"),) == rotate_secrets(secrets, "5", until=NOW, now=NOW)
