"""E-mail addresses as people give them."""

import pytest

from loadbell.accounts.mail import Mailer, check_email, queue_mail
from loadbell.domain.emails import normalize_email
from loadbell.domain.errors import Invalid
from loadbell.domain.ids import SECOND
from tests.support.mail import postbox
from tests.support.stores import Play, Site

GOOD = ["ann@example.org", "Ann.O'Neil+x@Sub.Example.org", "mueller@exämple.org", "a@localhost", "a?=b{c}@EXÄMPLE.org"]


@pytest.mark.parametrize("address", GOOD)
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
        "müller@example.org", "İ@example.org", "=?utf-8?q?x?=@example.org", "a@xn--ä.org", "a@straße.example",
        f"a@{'b' * 64}.org", f"a@{'ä' * 60}.org",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    """So that no text can become two recipients or a header."""
    with pytest.raises(Invalid) as refused:
        check_email(address)

    assert ["email"] == [error.field for error in refused.value.errors]


@pytest.mark.parametrize("address", GOOD)
def test_mail_gets_to_every_address_that_is_taken(play: Play, address: str) -> None:
    """To an international domain, too, in the form that every mail server takes: all of the mail is ASCII."""

    async def scenario(site: Site) -> None:
        text = check_email(address)
        with postbox() as box:
            await site.do(queue_mail, recipient=text, subject="s", body="b", expires_at=site.clock() + 60 * SECOND)
            sent = await Mailer(site.database, box.settings, ca_file=None).send_due()
        (taken,) = box.taken

        assert (1, [normalize_email(text)], normalize_email(text)) == (sent, taken.recipients, taken.message["To"])
        assert taken.recipients[0].isascii()

    play(scenario)
