"""Mail: queued with what it is about, handed over at least once, and given up when it is of no use."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from loadbell.accounts import mail
from loadbell.accounts.mail import RETRY_WAITS, Mailer, queue_mail
from loadbell.domain.ids import SECOND
from loadbell.outbound import smtp
from loadbell.settings import MailServer
from loadbell.store.mail_outbox import claim_mail
from tests.outbound.certificates import Authority
from tests.support.mail import free_port, mail_server, misbehaving, postbox
from tests.support.stores import Play, Site

HOUR = 3600 * SECOND
LINK = "https://loadbell.example.org/reset-password/lbr_s3cret"
TIMEOUT_S = 20.0


async def _queue(site: Site, **given: Any) -> None:
    values = {
        "recipient": "ann@example.net",
        "subject": "Your password",
        "body": f"Follow this link:\n\n{LINK}\n",
        "expires_at": site.clock() + HOUR,
        **given,
    }
    await site.do(queue_mail, **values)


def _mailer(site: Site, server: MailServer, *, ca_file: Path | None = None, seconds: float = TIMEOUT_S) -> Mailer:
    return Mailer(site.database, server, ca_file=ca_file, exchange_seconds=seconds)


def _find_mail(server: MailServer) -> MailServer:
    """The server by the name that its certificate is for."""
    return replace(server, host="localhost")


async def _waiting(site: Site) -> list[tuple[int, int]]:
    """The attempts of each mail that is still there, and in how many seconds the next one is due."""
    rows = await site.rows("SELECT attempts, next_attempt_at FROM mails ORDER BY id")
    return [(row["attempts"], (row["next_attempt_at"] - site.clock()) // SECOND) for row in rows]


def test_a_queued_mail_is_sent_once(play: Play) -> None:
    """To its recipient, from the operator's address, as plain text of which nobody's holiday notice is told."""

    async def scenario(site: Site) -> None:
        with postbox() as box:
            await _queue(site)
            counts = [await _mailer(site, box.settings).send_due() for _ in range(2)]
        (taken,) = box.taken
        headers = {name: str(taken.message[name]) for name in ("From", "To", "Subject", "Date", "Auto-Submitted")}

        assert [1, 0] == counts
        assert ("bell@example.org", ["ann@example.net"]) == (taken.sender, taken.recipients)
        assert {
            "From": '"Löadbell, the bell" <bell@example.org>',
            "To": "ann@example.net",
            "Subject": "Your password",
            "Date": "Fri, 15 Jan 2027 08:00:00 +0000",
            "Auto-Submitted": "auto-generated",
        } == headers
        assert f"Follow this link:\n\n{LINK}\n" == taken.text.replace("\r\n", "\n")
        assert [] == await _waiting(site)

    play(scenario)


def test_a_mail_of_a_unit_that_failed_is_not_sent(play: Play) -> None:
    """It is queued in the transaction of what it tells."""

    async def scenario(site: Site) -> None:
        async def fail(tx: Any) -> None:
            await queue_mail(tx, recipient="a@example.org", subject="s", body="b", expires_at=2**60)
            raise KeyError("refused after all")

        with pytest.raises(KeyError):
            await site.database.write(fail)

        assert [] == await _waiting(site)

    play(scenario)


def test_the_text_is_sealed_at_rest(play: Play) -> None:
    """Whoever reads the database finds no link in it."""

    async def scenario(site: Site) -> None:
        await _queue(site)
        (row,) = await site.rows("SELECT * FROM mails")

        assert "s3cret" not in str(tuple(row))  # type: ignore[arg-type]  # both drivers' rows can be gone through

    play(scenario)


@pytest.mark.parametrize("tls", ["starttls", "from the start"])
def test_the_connection_is_encrypted_before_anything_is_said(play_on_sqlite: Play, tmp_path: Path, tls: str) -> None:
    """By STARTTLS or from the start; the server is trusted by LOADBELL_CA_FILE, and told user and password."""
    authority = Authority(tmp_path)

    async def scenario(site: Site) -> None:
        context = authority.context("localhost")
        login = ("bell", "pa:ss@w0rd") if tls == "starttls" else None
        with postbox(tls=tls, context=context, login=login) as box:
            await _queue(site)
            assert 1 == await _mailer(site, _find_mail(box.settings), ca_file=authority.ca_file).send_due()
        (taken,) = box.taken

        assert (True, login and "bell") == (taken.encrypted, taken.user)

    play_on_sqlite(scenario)


@pytest.mark.parametrize("tls", ["starttls", "from the start"])
@pytest.mark.parametrize("wrong", ["unknown authority", "another name", "expired"])
def test_a_server_that_can_not_be_trusted_gets_nothing(
    play_on_sqlite: Play, tmp_path: Path, tls: str, wrong: str
) -> None:
    """The mail waits, and the log says what was wrong with the certificate."""
    authority = Authority(tmp_path)

    async def scenario(site: Site) -> None:
        context = authority.context("elsewhere" if wrong == "another name" else "localhost", expired=wrong == "expired")
        with postbox(tls=tls, context=context) as box, structlog.testing.capture_logs() as logs:
            await _queue(site)
            trusted = None if wrong == "unknown authority" else authority.ca_file
            assert 0 == await _mailer(site, _find_mail(box.settings), ca_file=trusted).send_due()

        assert [] == box.taken
        assert [(1, 60)] == await _waiting(site)
        assert "certificate isn't trusted" in logs[0]["why"]

    play_on_sqlite(scenario)


def test_a_server_without_starttls_gets_nothing(play_on_sqlite: Play) -> None:
    """Unless the operator said `starttls=never`, no password and no link travel in clear."""

    async def scenario(site: Site) -> None:
        with postbox() as box, structlog.testing.capture_logs() as logs:
            await _queue(site)
            assert 0 == await _mailer(site, mail_server(box.settings.port, "starttls")).send_due()

        assert [] == box.taken
        assert "STARTTLS" in logs[0]["why"]

    play_on_sqlite(scenario)


def test_what_fails_is_tried_again_until_it_is_of_no_use(play: Play) -> None:
    """After 1, 5 and 15 minutes, then each hour; then it is dropped. Neither text nor recipient is ever logged."""

    async def scenario(site: Site) -> None:
        with postbox() as box, structlog.testing.capture_logs() as logs:
            box.refusal = "550 5.1.1 <ann@example.net>: no such person"
            await _queue(site, expires_at=site.clock() + 3 * HOUR)
            mailer, waits = _mailer(site, box.settings), []
            while await site.rows("SELECT id FROM mails"):
                await mailer.send_due()
                rows = await site.rows("SELECT next_attempt_at FROM mails")
                if rows:
                    waits.append((rows[0]["next_attempt_at"] - site.clock()) // SECOND)
                    site.clock.advance(waits[-1] * SECOND - 1)
                    assert 0 == await mailer.send_due()
                    site.clock.advance(1)
        text = str(logs)

        assert [60, 300, 900, 3600, 3600, 3600] == waits
        assert [] == box.taken
        assert "dropped" in logs[-1]["event"]
        assert {"example.net"} == {entry["to"] for entry in logs}
        assert "refused the recipient with 550 5.1.1" in logs[0]["why"]
        assert "ann" not in text
        assert "s3cret" not in text

    play(scenario)


def test_a_later_attempt_sends_it(play: Play) -> None:
    """A server that was away gets the mail when it is back, with the Message-ID that it had."""

    async def scenario(site: Site) -> None:
        port = free_port()
        await _queue(site)
        with structlog.testing.capture_logs() as logs:
            assert 0 == await _mailer(site, mail_server(port)).send_due()
        site.clock.advance(RETRY_WAITS[0])
        with postbox(port=port) as box:
            assert 1 == await _mailer(site, box.settings).send_due()

        assert "can't be reached" in logs[0]["why"]
        assert 1 == len(box.taken)

    play(scenario)


def test_a_wrong_password_is_told_without_showing_it(play_on_sqlite: Play, tmp_path: Path) -> None:
    """The operator sees that the server refused it."""
    authority = Authority(tmp_path)

    async def scenario(site: Site) -> None:
        context = authority.context("localhost")
        with (
            postbox(tls="starttls", context=context, login=("bell", "right"), password="wr0ng") as box,
            structlog.testing.capture_logs() as logs,
        ):
            await _queue(site)
            assert 0 == await _mailer(site, _find_mail(box.settings), ca_file=authority.ca_file).send_due()

        assert "refused user or password with 535" in logs[0]["why"]
        assert "wr0ng" not in str(logs)

    play_on_sqlite(scenario)


def _hang(connection: socket.socket) -> None:
    connection.recv(1)  # until the other side has gone


def _die_after_greeting(connection: socket.socket) -> None:
    connection.sendall(b"220 ready\r\n")
    connection.recv(1000)


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"220 ready\r\n")
    connection.recv(1000)
    connection.settimeout(0.05)
    while True:
        connection.sendall(b"2")
        try:
            if not connection.recv(1000):
                return
        except TimeoutError:
            continue


def _full(connection: socket.socket) -> None:
    connection.sendall(b"421 4.3.2 busy\r\n")


def _babble(connection: socket.socket) -> None:
    connection.sendall(b"hello\r\n" * 10)
    connection.recv(1000)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (_hang, "didn't finish within 0.3 s"),
        (_drip, "didn't finish within 0.3 s"),
        (_die_after_greeting, "closed the connection"),
        (_full, "responded with 421 4.3.2"),
        (_babble, "responded with -1"),
    ],
)
def test_whatever_the_server_does_the_mail_waits(play_on_sqlite: Play, act: Any, why: str) -> None:
    """Hanging, dripping, dying, full or no mail server at all: one deadline covers it, and the log says what it was."""

    async def scenario(site: Site) -> None:
        with misbehaving(act) as server, structlog.testing.capture_logs() as logs:
            await _queue(site)
            assert 0 == await _mailer(site, server, seconds=0.3).send_due()

        assert why in logs[0]["why"]
        assert [(1, 60)] == await _waiting(site)

    play_on_sqlite(scenario)


def test_a_mail_that_is_refused_does_not_keep_back_the_others(play_on_sqlite: Play) -> None:
    """Each that is due has its own attempt."""

    async def scenario(site: Site) -> None:
        with postbox() as box, structlog.testing.capture_logs():
            await _queue(site, recipient="not an address")  # nobody could queue it through a use case
            await _queue(site)
            assert 1 == await _mailer(site, box.settings).send_due()

        assert ["ann@example.net"] == box.taken[0].recipients
        assert [(1, 60)] == await _waiting(site)

    play_on_sqlite(scenario)


def test_a_process_that_died_with_a_claim_loses_no_mail(play: Play) -> None:
    """What it had claimed is due again a minute later, for whoever looks then."""

    async def scenario(site: Site) -> None:
        await _queue(site)
        claimed = await site.database.write(claim_mail, RETRY_WAITS)
        with postbox() as box:
            mailer = _mailer(site, box.settings)
            counts = [await mailer.send_due()]
            site.clock.advance(RETRY_WAITS[0])
            counts.append(await mailer.send_due())

        assert claimed is not None
        assert [0, 1] == counts
        assert 1 == len(box.taken)

    play(scenario)


def test_several_mailers_send_each_mail_once(play: Play) -> None:
    """Processes that look at the same time take different mails."""

    async def scenario(site: Site) -> None:
        with postbox() as box:
            for number in range(20):
                await _queue(site, recipient=f"p{number}@example.org")
            mailers = [_mailer(site, box.settings) for _ in range(4)]
            while await site.rows("SELECT id FROM mails"):
                await asyncio.gather(*(mailer.send_due() for mailer in mailers))

        assert sorted(f"p{number}@example.org" for number in range(20)) == sorted(
            taken.recipients[0] for taken in box.taken
        )

    play(scenario)


def test_stopping_does_not_wait_for_the_server(play_on_sqlite: Play) -> None:
    """An exchange that hangs is cut; its mail is sent by the next process."""

    async def scenario(site: Site) -> None:
        greeted = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hang(connection: socket.socket) -> None:
            connection.sendall(b"220 ready\r\n")
            connection.recv(1000)
            loop.call_soon_threadsafe(greeted.set)
            connection.recv(1)

        with misbehaving(hang) as server:
            await _queue(site)
            mailer = _mailer(site, server, seconds=3600)
            mailer.start()
            await greeted.wait()
            await mailer.stop()

        assert [(1, 60)] == await _waiting(site)

    play_on_sqlite(scenario)


@pytest.mark.parametrize(
    "name", ["Ann\r\nBcc: eve@example.org", "a\nb", "ünï ✓", "x" * 300, "\u2028line", "=?utf-8?q?x?="]
)
def test_no_name_makes_a_header_of_its_own(play_on_sqlite: Play, name: str) -> None:
    """Line breaks become spaces; everything else arrives as it was written."""

    async def scenario(site: Site) -> None:
        with postbox() as box:
            await _queue(site, subject=f"From {name}", body=f"{name}\n")
            assert 1 == await _mailer(site, box.settings).send_due()
        (taken,) = box.taken

        assert ["ann@example.net"] == taken.recipients
        assert taken.message["Bcc"] is None
        if not name.startswith("=?"):  # which a reader of mail takes for an encoded word
            assert " ".join(f"From {name}".split()) == str(taken.message["Subject"])

    play_on_sqlite(scenario)


def test_an_exchange_ends_before_its_mail_is_due_again() -> None:
    """Or a mail that takes long would be sent twice."""
    assert mail.SEND_TIMEOUT_S * SECOND < min(RETRY_WAITS)
    assert smtp.trust(None).check_hostname
