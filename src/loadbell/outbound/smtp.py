"""
Sends one mail to the operator's mail server (RFC 5321), with smtplib in a separate thread.

It bypasses the guarded sender: the operator chose the server, not a user. See ``docs/decisions/0018-mail.md``.
"""

import asyncio
import contextlib
import re
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from pathlib import Path

from loadbell.outbound.trust import system_bundle
from loadbell.settings import MailServer


class MailRejected(Exception):  # noqa: N818 - reads as what happened
    """The mail server hasn't accepted the mail. The message contains nothing of the mail and no secrets."""


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Returns a context that verifies servers by the system's certificates and those of ``ca_file``."""
    context = ssl.create_default_context(cafile=str(system_bundle()))
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def send_mail(
    server: MailServer, message: EmailMessage, recipient: str, *, context: ssl.SSLContext, seconds: float
) -> None:
    """Sends ``message`` to ``recipient``; returns once ``server`` has accepted it, within ``seconds`` in all.

    Raises:
        MailRejected: it hasn't, or it's unknown whether it has.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    exchange = _Session(server, message, recipient, context, seconds)

    def settle(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def turn() -> None:
        failure: Exception | None = None
        try:
            exchange.run()
        except Exception as error:  # noqa: BLE001 - the waiting side raises it
            failure = MailRejected(_describe_error(error))
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(settle, failure)

    # A daemon: a thread in a slow name lookup must not keep the process from ending.
    threading.Thread(target=turn, name="loadbell-mail", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done
    except TimeoutError:
        raise MailRejected(f"the mail server didn't finish within {seconds:g} s") from None
    finally:
        exchange.cut()


class _Session:
    """One session with the server; :meth:`cut` ends it from another thread."""

    def __init__(
        self, server: MailServer, message: EmailMessage, recipient: str, context: ssl.SSLContext, seconds: float
    ) -> None:
        self._server = server
        self._message = message
        self._recipient = recipient
        self._context = context
        self._seconds = seconds
        self._smtp: smtplib.SMTP | None = None
        self._cut = False

    def run(self) -> None:
        """Runs the session until the server has accepted the mail."""
        server = self._server
        self._smtp = smtp = self._connect()
        with contextlib.closing(smtp):
            smtp.local_hostname = _address_literal(smtp)
            if server.tls == "starttls":
                smtp.starttls(context=self._context)
            if server.user is not None and server.password is not None:
                smtp.login(server.user, server.password)
            if not self._cut:
                smtp.send_message(self._message, server.sender, [self._recipient])
                smtp.putcmd("quit")  # whatever the response, the mail was accepted

    def cut(self) -> None:
        """Makes the session fail now, if it hasn't ended."""
        self._cut = True
        if self._smtp is not None and self._smtp.sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._smtp.sock, socket.SHUT_RDWR)

    def _connect(self) -> smtplib.SMTP:
        # "localhost" avoids a slow DNS lookup of our own name; the server gets our address instead.
        where = (self._server.host, self._server.port, "localhost")
        later = 2 * self._seconds  # so that the deadline of the whole exchange comes first, with its own error
        if self._server.tls == "from the start":
            return smtplib.SMTP_SSL(*where, timeout=later, context=self._context)
        return smtplib.SMTP(*where, timeout=later)


def _address_literal(smtp: smtplib.SMTP) -> str:
    """Returns the name of a client without a host name (RFC 5321 section 4.1.3)."""
    assert smtp.sock is not None
    address = str(smtp.sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _describe_error(error: Exception) -> str:
    """Describes the error. Of the server's response only the codes: the text may repeat the recipient."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        ((code, text),) = error.recipients.values()
        return f"the mail server refused the recipient with {_codes(code, text)}"
    if isinstance(error, smtplib.SMTPResponseException):
        refused = (
            "refused user or password with" if isinstance(error, smtplib.SMTPAuthenticationError) else "responded with"
        )
        return f"the mail server {refused} {_codes(error.smtp_code, error.smtp_error)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the mail server's certificate isn't trusted: {error.verify_message}"
    values: dict[type[Exception], str] = {
        smtplib.SMTPServerDisconnected: "the mail server closed the connection",
        smtplib.SMTPNotSupportedError: "the mail server doesn't support STARTTLS, authentication or UTF-8 addresses",
    }
    if type(error) in values:
        return values[type(error)]
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"the mail server can't be reached: {reason}"


def _codes(code: int, text: bytes | str) -> str:
    """Returns the response's code and, if present, its enhanced code (RFC 3463)."""
    shown = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", shown)
    return f"{code} {enhanced[0]}" if enhanced else str(code)
