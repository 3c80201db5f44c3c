"""
E-mail with links to sign in or join.

A use case queues mail in its own transaction. The :class:`Mailer` of any ``serve`` sends it through the operator's mail
server, at least once; a repeat has the same Message-ID. See ``docs/decisions/0018-mail.md``.
"""

import asyncio
import datetime as dt
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

import structlog

from loadbell.domain.emails import is_email, normalize_email
from loadbell.domain.errors import FieldError, Invalid, Unavailable
from loadbell.domain.ids import SECOND, Micros, to_datetime
from loadbell.outbound.smtp import MailRejected, send_mail, trust
from loadbell.settings import MailServer
from loadbell.store.engine.db import Database, Transaction
from loadbell.store.mail_outbox import QueuedMail, claim_mail, delete_mail, has_due_mail, insert_mail

log = structlog.get_logger()

POLL_INTERVAL_S = 1.0
SEND_TIMEOUT_S = 30.0
RETRY_WAITS: tuple[Micros, ...] = (60 * SECOND, 300 * SECOND, 900 * SECOND, 3600 * SECOND)
"""Waits between the attempts of one mail, each longer than an attempt; the last repeats until the mail expires."""

_POLICY = policy.SMTP.clone(cte_type="7bit")  # not every server takes 8-bit lines


def check_email(email: str) -> str:
    """``email`` in lower case, as it is stored.

    Raises:
        Invalid: it isn't a valid address.
    """
    if not is_email(email):
        raise Invalid(FieldError("email", "enter a valid e-mail address, such as ann@example.org"))
    return email.lower()


async def queue_mail(tx: Transaction, *, recipient: str, subject: str, body: str, expires_at: Micros) -> None:
    """Queues a mail, sent once this transaction has committed and dropped at ``expires_at``.

    ``subject`` is folded into one line: it may contain user-chosen names. ``body`` is encrypted: it may contain a link.
    """
    line = " ".join(subject.split())
    await insert_mail(tx, recipient=recipient, subject=line, body=body, expires_at=expires_at)


class Mailer:
    """Sends due mail, every second from :meth:`start` until :meth:`stop`."""

    def __init__(
        self,
        database: Database,
        server: MailServer,
        *,
        ca_file: Path | None,
        exchange_seconds: float = SEND_TIMEOUT_S,
    ) -> None:
        self._database = database
        self._server = server
        self._context = trust(ca_file)
        self._exchange_seconds = exchange_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts sending."""
        self._task = asyncio.create_task(self._run(), name="mailer")

    async def stop(self) -> None:
        """Stops sending. Aborts a running attempt; the next process sends its mail again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def send_due(self) -> int:
        """Makes one attempt for each due mail. Returns how many were sent."""
        sent = 0
        while await self._database.read(has_due_mail):
            mail = await self._database.write(claim_mail, RETRY_WAITS)
            if mail is None:  # another process has it
                break
            sent += await self._attempt(mail)
        return sent

    async def _attempt(self, mail: QueuedMail) -> bool:
        _, _, domain = mail.recipient.rpartition("@")
        if mail.expires_at <= self._database.clock():
            log.warning("Mail dropped: it expired before it could be sent", to=domain, attempts=mail.attempts)
            await self._database.write(delete_mail, mail.id)
            return False
        try:
            if mail.body is None:
                raise MailRejected("it was encrypted with a key that isn't in LOADBELL_SECRET_KEY")  # noqa: TRY301 - one place logs all failures
            message = self._message(mail, mail.body)
            await send_mail(
                self._server,
                message,
                normalize_email(mail.recipient),
                context=self._context,
                seconds=self._exchange_seconds,
            )
        except Exception as failure:  # noqa: BLE001 - whatever is wrong with one mail, the others are sent
            why = str(failure) if isinstance(failure, MailRejected) else type(failure).__name__
            log.warning("Mail not sent; retrying", to=domain, why=why)
            return False
        await self._database.write(delete_mail, mail.id)
        return True

    def _message(self, mail: QueuedMail, body: str) -> EmailMessage:
        server = self._server
        message = EmailMessage(_POLICY)
        message["From"] = Address(server.sender_name, addr_spec=server.sender)
        message["To"] = Address(addr_spec=normalize_email(mail.recipient))
        message["Subject"] = mail.subject
        message["Date"] = to_datetime(mail.created_at).replace(tzinfo=dt.UTC)
        message["Message-ID"] = f"<loadbell.{mail.id}.{mail.created_at}@{server.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: stops out-of-office replies
        message.set_content(body)
        return message

    async def _run(self) -> None:
        while True:
            try:
                await self.send_due()
            except Unavailable as error:
                log.warning("The mailer can't reach the database; retrying", error=str(error))
            except Exception:
                log.exception("The mailer failed; retrying")
            await asyncio.sleep(POLL_INTERVAL_S)
