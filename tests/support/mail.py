"""Mail servers on loopback: a real one that keeps what it takes, and ones that misbehave."""

import email
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from loadbell.settings import MailServer


@dataclass(frozen=True)
class Taken:
    """One mail as the server took it, with the envelope that came with it."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    encrypted: bool
    user: str | None

    @property
    def text(self) -> str:
        """The body, decoded."""
        return str(self.message.get_content())


@dataclass
class Postbox:
    """The running server. ``refusal`` is what it answers to a recipient instead of taking it."""

    settings: MailServer
    taken: list[Taken] = field(default_factory=list)
    refusal: str | None = None
    arrived: "queue.SimpleQueue[Taken]" = field(default_factory=queue.SimpleQueue)


class _Handler:
    def __init__(self, box: "Postbox") -> None:
        self.box = box

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it by this name and with these
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.box.refusal is not None:
            return self.box.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=default)
        user = session.login_data and session.login_data.decode()
        assert server.transport is not None
        encrypted = server.transport.get_extra_info("ssl_object") is not None
        taken = Taken(str(envelope.mail_from), list(envelope.rcpt_tos), message, encrypted, user)
        self.box.taken.append(taken)
        self.box.arrived.put(taken)
        return "250 OK"


@contextmanager
def postbox(
    *,
    tls: str = "never",
    context: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
    password: str | None = None,
    port: int = 0,
) -> Iterator[Postbox]:
    """A mail server that takes everything, after ``login`` if there is one; ``password`` is the one we are told."""
    box = Postbox(mail_server(port or free_port(), tls, login and (login[0], password or login[1])))
    body: dict[str, Any] = {"hostname": "127.0.0.1", "port": box.settings.port, "enable_SMTPUTF8": True}
    if tls == "starttls":
        body.update(tls_context=context, require_starttls=True)
    if login is not None:
        user, right = login

        def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any) -> AuthResult:
            fits = (data.login, data.password) == (user.encode(), right.encode())
            return AuthResult(success=fits, handled=False, auth_data=data)

        body.update(authenticator=authenticate, auth_required=True, auth_require_tls=tls == "starttls")
    controller = Controller(_Handler(box), ssl_context=context if tls == "from the start" else None, **body)
    if tls == "from the start":
        # aiosmtpd waits until a connection of its own has come in, and makes that in clear.
        controller._trigger_server = lambda: _knock(controller.port)  # type: ignore[method-assign]  # its only hook
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@contextmanager
def misbehaving(act: Callable[[socket.socket], None]) -> Iterator[MailServer]:
    """Something that accepts connections and does ``act`` with each."""
    listener = socket.create_server(("127.0.0.1", 0))

    def turn() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with closing(connection), suppress(OSError):
                    act(connection)

    thread = threading.Thread(target=turn, name="misbehaving-mail-server")
    thread.start()
    try:
        yield mail_server(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def mail_server(port: int, tls: str = "never", login: tuple[str, str] | None = None) -> MailServer:
    """The settings of a server on that port of 127.0.0.1."""
    user, password = login or (None, None)
    return MailServer("127.0.0.1", port, cast("Any", tls), user, password, "bell@example.org", "Löadbell, the bell")


def free_port() -> int:
    """A port on which nothing listens just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _knock(port: int) -> None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain, anybody.wrap_socket(plain) as connection:
        connection.recv(100)
