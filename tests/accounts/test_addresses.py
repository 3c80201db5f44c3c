"""E-mail addresses as people give them."""

import pytest

from loadbell.accounts.mail import check_email
from loadbell.domain.errors import Invalid


@pytest.mark.parametrize(
    "address", ["ann@example.org", "Ann.O'Neil+x@Sub.Example.org", "müller@exämple.org", "a@localhost"]
)
def test_an_address_is_kept_in_lower_case(address: str) -> None:
    """As people write theirs in either."""
    assert address.lower() == check_email(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "ann", "@example.org", "ann@", "a@b@c", "a b@example.org", "a,b@example.org", "<a@example.org>", "a;b@c",
        "Ann <a@example.org>", "a@example.org\r\nBcc: b@example.org", "a\n@example.org", "a@example.org\n", '"a b"@c',
        "a@[127.0.0.1]", "a@example..org", ".a@example.org", "a@ex ample.org", "a\x00@example.org", "a@c.org,b@c",
        f"{'a' * 243}@example.org", "a(b)@example.org", "a\u2028@example.org", "a@exa_mple.org",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    """So that no text can become two recipients or a header."""
    with pytest.raises(Invalid) as refused:
        check_email(address)

    assert ["email"] == [error.field for error in refused.value.errors]
